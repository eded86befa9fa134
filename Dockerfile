# On a Linux CPU:      docker build -t mlx-chat-server .
# With an NVIDIA card: docker build --build-arg CUDA=cuda13 -t mlx-chat-server .
# docs/operations.md says how to run it.
FROM python:3.12-slim-bookworm

# OpenBLAS makes MLX an order of magnitude faster on a CPU.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libopenblas0-pthread \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /srv/mlx-chat-server
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt

# An extra of the mlx package; empty: none.
ARG CUDA=
RUN if [ -n "$CUDA" ]; then \
        pip install --no-cache-dir "mlx[$CUDA]==$(python -c 'from importlib.metadata import version; print(version("mlx"))')"; \
    fi

COPY app.py ./
COPY api ./api

# Models from the Hub and what was measured on this machine outlive the container here.
RUN useradd --system --no-create-home server && install -d -o server /cache
ENV XDG_CACHE_HOME=/cache
VOLUME /cache
USER server

EXPOSE 8000
ENTRYPOINT ["python", "app.py"]
