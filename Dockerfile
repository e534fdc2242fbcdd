# To pin its content as well as its version: python:3.12.13-slim-trixie@sha256:…, see docs/deploy.md.
FROM python:3.12.13-slim-trixie

WORKDIR /app
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir --requirement requirements.lock
COPY . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable . \
    && useradd --create-home coinwatch \
    && install --directory --owner coinwatch --group coinwatch --mode 700 .coinwatch

USER coinwatch
ENV DAGSTER_HOME=/app COINWATCH_HOST=0.0.0.0 COINWATCH_LOG_FORMAT=json
CMD ["coinwatch", "--help"]
