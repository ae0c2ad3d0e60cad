# One image for the editor's dev container (.devcontainer/), for Binder, which finds this file by
# itself, and for jobs on a cluster (workflow/profiles/kubernetes):
#
#   docker build -t pscore .                    # or podman build; --build-arg TORCH= for CUDA
#   docker run --rm -it -p 8888:8888 pscore     # the chapters in JupyterLab
#   docker run --rm pscore make test
FROM python:3.11-slim-bookworm

# chromium reads the built book in the tests and prints it; util-linux has the lock of the grids.
# Debian removes old versions, so that none can be pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        bash chromium fonts-liberation git make util-linux \
    && rm -rf /var/lib/apt/lists/*

# Binder names the user; nobody works as root.
ARG NB_USER=reader
ARG NB_UID=1000
ENV USER=${NB_USER} NB_UID=${NB_UID} HOME=/home/${NB_USER}
RUN useradd --create-home --shell /bin/bash --uid "${NB_UID}" "${NB_USER}"
USER ${NB_USER}
WORKDIR ${HOME}/book

# The packages first: a change of the book installs nothing anew. TORCH=cpu is 1 GB instead of 6.
ARG TORCH=cpu
COPY --chown=${NB_UID} Makefile requirements.txt constraints.txt pyproject.toml LICENSE ./
COPY --chown=${NB_UID} tools/install.sh tools/
COPY --chown=${NB_UID} pscore/README.md pscore/
RUN make .venv/ready TORCH="${TORCH}" PYTHON=/usr/local/bin/python3.11 \
    && .venv/bin/pip install --no-cache-dir -c constraints.txt jupyterlab==4.6.6 jupyterhub==6.1.1 \
    && rm -rf "${HOME}/.cache"
COPY --chown=${NB_UID} . .

ENV PATH=${HOME}/book/.venv/bin:${PATH} JUPYTER_PREFER_ENV_PATH=1
EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser", "chapters"]
