# Everything a contributor runs. `make help` lists it.
.PHONY: help build check unit test image bench clean

UNIT := $(patsubst %.ts,build/%.js,$(shell find test -name '*.test.ts' -not -path 'test/boot/*'))
BOOT := $(patsubst %.ts,build/%.js,$(shell find test/boot -name '*.test.ts' 2>/dev/null))

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

node_modules: package-lock.json
	npm ci --ignore-scripts
	@touch node_modules

build: node_modules ## compile to build/
	npx tsc --build

check: build ## format and lint
	npx biome check .

unit: build ## the tests that need no emulator
	node --test --test-concurrency=2 $(UNIT)

clean: ## remove what was built; downloads stay in .cache/
	rm -rf build out
