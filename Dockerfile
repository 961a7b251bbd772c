# docker build -t lengthwise . ; docker run --rm -v "$PWD:/work" lengthwise train fast/parity
FROM python:3.11-slim

# The CPU build of torch; drop the index for the one of CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY recipes recipes
COPY results results
RUN pip install --no-cache-dir --index-url "$TORCH_INDEX" torch \
    && pip install --no-cache-dir '.[report]' \
    && rm -rf /source

WORKDIR /work
ENTRYPOINT ["lengthwise"]
CMD ["--help"]
