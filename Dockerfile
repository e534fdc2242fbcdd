FROM python:3.12-slim

WORKDIR /app
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir --requirement requirements.lock
COPY . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable . \
    && useradd --create-home coinwatch \
    && mkdir -p .coinwatch && chown coinwatch .coinwatch

USER coinwatch
ENV DAGSTER_HOME=/app COINWATCH_HOST=0.0.0.0 COINWATCH_LOG_FORMAT=json
CMD ["coinwatch", "--help"]
