# A backend of docker-compose.yml: three of them stand for real services.

FROM debian:bookworm-slim

RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y \
        --no-install-recommends python3-minimal libpython3-stdlib \
    && rm -rf /var/lib/apt/lists/*

COPY docker/backend.py /usr/local/bin/backend.py

USER nobody
EXPOSE 9000
ENV BACKEND_HOST=0.0.0.0 BACKEND_PORT=9000

HEALTHCHECK --interval=5s --timeout=3s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9000/healthz', timeout=2)"]

ENTRYPOINT ["python3", "/usr/local/bin/backend.py"]
