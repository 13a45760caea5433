# The worker and every other command of driftstream, without the embedded services of the extra "local".
FROM python:3.12.12-slim-bookworm AS build

ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
# For the compiled decoder: Debian's newer Rust, which is kept for building browsers.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends cargo-web gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /app

# Dependencies first: they change less often than the code.
COPY pyproject.toml uv.lock ./
COPY native native
RUN uv sync --locked --no-dev --extra native --no-install-project
COPY README.md LICENSE ./
COPY detectors detectors
COPY stream stream
RUN uv sync --locked --no-dev --extra native --no-editable

FROM python:3.12.12-slim-bookworm

RUN useradd --system --uid 10001 --no-create-home driftstream \
    && install --directory --owner=driftstream /references
COPY --from=build /app/.venv /app/.venv
COPY deploy/compose /app/deploy/compose
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 DRIFTSTREAM_CONFIG=/etc/driftstream/driftstream.yaml
USER driftstream
EXPOSE 9464
ENTRYPOINT ["driftstream"]
CMD ["worker"]
