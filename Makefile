# Every target is one script, so that nobody needs make to work here.
.PHONY: setup test run check lint docs bench conformance sweep nightly clean
.DEFAULT_GOAL := help
help:
	@echo "make setup | test | run [ONCE=1] | check | lint | docs | bench | conformance | sweep | nightly | clean"
setup:
	@scripts/setup
test:
	@scripts/test
run:
	@ONCE="$(ONCE)" scripts/run
check:
	@scripts/check
lint:
	@scripts/lint
docs:
	@scripts/docs
bench:
	@scripts/bench
conformance:
	@scripts/conformance
sweep:
	@scripts/sweep
nightly:
	@scripts/nightly
clean:
	@scripts/clean
