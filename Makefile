# make install   everything into .venv (Python >= 3.11 is all that must be there)
# make demo      the whole pipeline on a Kafka and a Redis of its own; ARGS="--output json" and the like
# make test      all tests, files side by side; ARGS="tests/stream -k window" and the like, WORKERS=1 one after another
# make faults    the whole fault matrix, with a table; TEST_SEED=N repeats a run, ARGS and WORKERS as above
# make soak      20 minutes at 20,000 events/s with a fault every 15 s; SOAK_MINUTES, SOAK_RATE, SOAK_FAULT_EVERY
# make check     format, lint, types, import directions, what must not be in the code
# make audit     bill of materials and known vulnerabilities of what is installed
# make fuzz      ten million mutated records through the compiled decoder; ARGS="--records 1000000 --seed 7"
# make fuzz-guided  records that reach new lines of the decoder (atheris, x86-64), through both; ARGS="--seconds 600"
# make format    mend what can be mended by a machine
# make clean     remove what the above made

BIN := .venv/bin
INSTALLED := .venv/.installed
NATIVE := .venv/.native
WORKERS := 2

.PHONY: install demo test faults soak check audit fuzz fuzz-guided format clean

install: $(NATIVE)

$(INSTALLED): pyproject.toml uv.lock .ci/install
	@.ci/install --without-native
	@touch $@

$(NATIVE): $(INSTALLED) .ci/native .ci/cargo $(wildcard native/*.* native/src/*.rs)
	@.ci/native
	@touch $@

demo: $(INSTALLED)
	@$(BIN)/driftstream demo $(ARGS)

test: $(NATIVE)
	@.ci/prometheus
	@PATH="$(CURDIR)/.tools/debian/usr/bin:$$PATH" $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

faults: WORKERS := 4# they wait for most of their time: for sessions to end, for brokers to come back
faults: $(NATIVE)
	@$(BIN)/python -m pytest tests/faults -m "not soak" -n $(WORKERS) --dist loadgroup $(ARGS)

soak: $(INSTALLED)
	@$(BIN)/python -m pytest tests/faults -m soak -s --timeout 0 $(ARGS)

check: $(INSTALLED)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@.ci/native-check
	@$(BIN)/bandit --quiet --configfile .bandit.yml --recursive stream detectors

audit: $(INSTALLED)
	@.ci/audit

fuzz: $(NATIVE)
	@$(BIN)/python -m tests.stream.fuzz_decoder $(ARGS)

fuzz-guided: $(NATIVE)
	@.ci/fuzz-guided $(ARGS)

format: $(INSTALLED)
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

clean:
	rm -rf .venv .tools native/target .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -prune -exec rm -rf {} +
