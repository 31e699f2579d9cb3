# Switchyard. `make` lists the targets. A target installs what it needs beyond Go and make (Debian packages, as root or
# by sudo).

SHELL       := /bin/bash
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
# The Cosmos SDK alone takes minutes to build: its module has a target of its own, cometbft-sdk.
SDK         := modules/cometbft/sdk
MODULES     := $(patsubst %/go.mod,%,$(shell find . -name go.mod -not -path '*/node_modules/*' -not -path './.cache/*' \
	-not -path './$(SDK)/*' | sort))
# Modules as an outsider writes them.
EXAMPLES    := $(filter ./docs/examples/%,$(MODULES))
FUZZTIME    ?= 10s
JSPEER      := internal/interoplibp2p/jspeer
NODES       ?= 8
PKG         ?= ./...
TIMEOUT     ?= 15m
# RACE=1 makes `make test` use the race detector.
RACE        ?=
raceflag    := $(if $(RACE),-race,)

.DEFAULT_GOAL := help
.PHONY: help run build man install release-files deploy-check need-deploy test unit race lint cross floors \
	ratchets interop cometbft cometbft-sdk compat model crash soak bench bench-store eclipse microbench fuzz \
	generate chain chain-bin chain-short chain-migrate chain-soak chain-bench chain-far chain-suites chain-e2e \
	golibp2p-storm golibp2p-suites clean page page-bench need-cc need-ip need-js need-browser need-deploy \
	need-protoc

help: ## list the targets
	@echo 'make TARGET, where TARGET is'
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## a network of real nodes on this machine, until q (NODES=8)
	@echo 'Building bin/switchyard. The first time that takes a minute or more; then it is quick.'
	@set -o pipefail; go build -v -tags grpcnotrace -o bin/ ./cmd/... 2>&1 | awk \
	  '/^[^ #]+$$/ {printf "\r%d packages built", ++n; fflush(); next} {print} END {if (n) print ""}'
	@./bin/switchyard demo --nodes $(NODES)

# grpcnotrace leaves golang.org/x/net/trace out of gRPC, and so 4 MB out of the binary.
build: ## bin/switchyard
	go build -tags grpcnotrace -o bin/ ./cmd/...

PREFIX  ?= /usr/local
DESTDIR ?=
share   := $(DESTDIR)$(PREFIX)/share
system  := $(DESTDIR)$(PREFIX)/lib

install: build release-files ## the program, completions, man pages and systemd units (PREFIX=/usr/local DESTDIR=)
	install -D -m 755 bin/switchyard $(DESTDIR)$(PREFIX)/bin/switchyard
	cd .cache/release/completions && \
	  install -D -m 644 switchyard.bash $(share)/bash-completion/completions/switchyard && \
	  install -D -m 644 _switchyard $(share)/zsh/site-functions/_switchyard && \
	  install -D -m 644 switchyard.fish $(share)/fish/vendor_completions.d/switchyard.fish
	cd .cache/release/man && for f in $$(find . -type f); do install -D -m 644 $$f $(share)/man/$$f; done
	for f in deploy/systemd/switchyard*.s*; do install -D -m 644 $$f $(system)/systemd/system/$${f##*/} && \
	  sed -i 's,/usr/bin/switchyard,$(PREFIX)/bin/switchyard,' $(system)/systemd/system/$${f##*/} || exit 1; done
	install -D -m 644 deploy/systemd/sysusers.conf $(system)/sysusers.d/switchyard.conf
	install -D -m 644 deploy/systemd/tmpfiles.conf $(system)/tmpfiles.d/switchyard.conf

# release-files makes what packages have beside the program: completions and man pages.
release-files:
	@rm -rf .cache/release && mkdir -p .cache/release/completions .cache/release/man .cache/bin
	@go build -tags grpcnotrace -o .cache/bin/ ./cmd/switchyard
	@set -e; cd .cache/release/completions; x=../../bin/switchyard; $$x completion bash > switchyard.bash; \
	  $$x completion zsh > _switchyard; $$x completion fish > switchyard.fish; \
	  $$x completion powershell > switchyard.ps1
	@if .cache/bin/switchyard man .cache/release/all > /dev/null 2>&1; then set -e; cd .cache/release/all; \
	  for f in *.[157]; do install -D -m 644 $$f ../man/man$${f##*.}/$$f; done; rm -r ../all; fi

deploy-check: need-deploy ## what is below deploy/: units, their exposure, alerts (promtool), the dashboard
	@go test -count=1 ./internal/deploy
	@cd deploy/monitoring && promtool check rules alerts.yml && promtool test rules alerts_test.yml
	@if command -v goreleaser > /dev/null; then goreleaser check; fi
man: MANDIR ?= bin/man
man: build ## the man pages, made by the program (MANDIR=bin/man)
	@./bin/switchyard man $(MANDIR)

test: unit examples interop ## unit tests, examples, then the tests against real peers (RACE=1: the race detector)

unit: $(if $(RACE),need-cc) ## the tests of the main module (PKG=./host to choose)
	go test $(raceflag) -timeout $(TIMEOUT) $(PKG)

examples: ## the modules below docs/examples, built and tested as an outsider would
	@for m in $(EXAMPLES); do \
	  echo "--- $$m"; (cd $$m && go vet ./... && go build -o /dev/null ./... && \
	    go test -timeout $(TIMEOUT) ./...) || exit 1; done

race: need-cc ## the tests of the main module under the race detector
	go test -race -timeout $(TIMEOUT) $(PKG)

interop: need-js ## the tests against real peers (modules of their own)
	@for m in $(filter-out . $(EXAMPLES),$(MODULES)); do \
	  echo "--- $$m"; (cd $$m && go test -timeout $(TIMEOUT) ./...) || exit 1; done

cometbft: ## modules/cometbft with the other versions of CometBFT, 0.38 and 1.0: vet and tests (go.mod has 0.40)
	@for v in 038 1; do m=go.v$$v.mod; echo "--- modules/cometbft: $$m"; \
	  (cd modules/cometbft && go vet -modfile=$$m -tags cometbft$$v ./... && \
	  go test -modfile=$$m -tags cometbft$$v -timeout $(TIMEOUT) ./...) || exit 1; done

cometbft-sdk: ## modules/cometbft/sdk with SDK 0.55 and 0.53: vet, staticcheck and tests, which run chains of processes
	@cd $(SDK) && go vet ./... && go run $(STATICCHECK) ./... && go test -timeout $(TIMEOUT) ./...
	@cd $(SDK) && flags="-modfile=go.v053.mod -tags=cometbft038" && go vet $$flags ./... && \
	  go test $$flags -timeout $(TIMEOUT) ./...

compat: need-js ## our program with CometBFT 0.34 to 1.0, kubo, js-libp2p 1 to 3: fetched and built, in minutes
	cd internal/interop && go vet -tags compat . && \
	  go test -tags compat -run TestReleases -timeout 30m -v .
	cd internal/interoplibp2p && go vet -tags compat ./hosts && \
	  go test -tags compat -run "TestKubo|TestJSReleases" -timeout 30m -v ./hosts

golibp2p-storm: export SWITCHYARD_LONG = 1
golibp2p-storm: ## storms, redials, rings, a DHT and bitswap among hosts of ours and go-libp2p's, the long forms
	cd modules/golibp2p && go test -count=1 -timeout 30m -v ./internal/storm

PAGETEST := internal/pagetest/browser
SHOTS    ?= .cache/page

page: need-browser ## the live page in a browser: looks, behaviour, accessibility; pictures in .cache/page (SHORT=1)
	@SWITCHYARD_PAGE=$(if $(SHORT),short,long) SWITCHYARD_PAGE_SHOTS=$(abspath $(SHOTS)) \
	  go test -count=1 -timeout $(TIMEOUT) -v -run '^Test(Looks|Behaves|Truth|RealNode|CrawlMap)$$' ./internal/pagetest

page-bench: need-browser ## what the live page costs with 500 peers that change each second, on a quiet machine
	@SWITCHYARD_PAGE=bench go test -count=1 -timeout $(TIMEOUT) -v -run '^TestCost$$' ./internal/pagetest

lint: floors ratchets cross deploy-check ## gofmt, go vet, staticcheck, the floors, the ratchets, other systems, deploy/
	@bad=$$(git ls-files -co --exclude-standard '*.go' | grep -v '\.pb\.go$$' | xargs gofmt -l); \
	  if [ -n "$$bad" ]; then echo "not formatted (gofmt -w):"; echo "$$bad"; exit 1; fi
	@for m in $(MODULES); do \
	  echo "--- vet and staticcheck: $$m"; (cd $$m && go vet ./... && go run $(STATICCHECK) ./...) || exit 1; done

cross: ## go vet for 386, arm, arm64, freebsd, windows and darwin; the tests of the decoders on 386
	@.ci/cross

floors: ## who may import whom, which folders there are, how long a file may be
	go test -count=1 ./internal/floors

ratchets: ## optional interfaces, methods, lines, functions an echo and a dial run: each figure beside its bound
	go test -count=1 -v ./internal/ratchet

# Files that only a test reads are in memory where that can be, as each ban waits for the disk.
memory := $(if $(wildcard /dev/shm/.),TMPDIR=$$(mktemp -d -p /dev/shm); export TMPDIR; trap 'rm -rf "$$TMPDIR"' EXIT;)
OPS    ?= 10000000
ROUNDS ?= 300

model: export GOGC = 800
model: export SWITCHYARD_MODEL_OPS = $(OPS)
model: export SWITCHYARD_MODEL_SEED = $(SEED)
model: ## ten million random operations beside a reference (OPS=1000000; SEED=7 repeats a failure)
	@.ci/long ./peerstore/internal/book '^Test(Model|Invariants)$$'
	@$(memory) SWITCHYARD_MODEL_OPS=$$(($(OPS) / 10)) .ci/long ./peerstore/badger '^TestStore$$/^Model$$'
	@.ci/long ./host/backfill '^Test(TriesAreForgotten|RandomWorlds)$$'
	@.ci/long ./host/peers '^TestModel$$'
	@.ci/long ./host/relay '^TestModel$$'

networks: export SWITCHYARD_LONG = 1
networks: ## whole networks of up to 1,000 nodes in memory: how they form, and heal when they were cut
	go test -count=1 -v -timeout 60m -run '^Test(Formation|CutsHeal|NodesDie)$$' ./host/hosttest

wan: NODES = 50
wan: build ## real nodes on an emulated WAN, as root: how they form, and heal when they were cut (NODES=200)
	@go build -o .cache/bin/wan ./internal/wan
	@$(root) .cache/bin/wan -n 20 -inbound 6 -do form
	@$(root) .cache/bin/wan -n $(NODES) $(ARGS)

root := $(if $(filter 0,$(shell id -u)),,sudo)

crash: export SWITCHYARD_CRASH_ROUNDS = $(ROUNDS)
crash: ## kill -9 and damage, of the store and of the program, hundreds of times (ROUNDS=300)
	@$(memory) .ci/long ./peerstore/badger '^Test(Kill|Damage|DamageEverywhere|Quota)$$'
	@.ci/long ./modules/cli '^Test(KilledAndDamaged|UnusableStores|FullDisk)$$'

SOAK ?= 1h

soak: build need-ip ## honest nodes under attack: nobody lost or banned, flat memory (SOAK=10m ARGS="-only churn")
	@cd internal/soak && go build -o ../../.cache/bin/soak .
	@.cache/bin/soak -bin bin/switchyard -for $(SOAK) $(ARGS)

# chain builds the program that runs networks of CometBFT nodes.
chain-bin:
	@cd internal/chain && go build -o ../../.cache/bin/chain .

chain: chain-bin ## networks of real CometBFT nodes, stock and ours, judged (CASES=ssmm VERSIONS=0.40 DO=kill)
	@.cache/bin/chain $(if $(VERSIONS),-versions $(VERSIONS)) \
	  $(if $(CASES),-cases $(CASES) -do $(or $(DO),basic)) $(ARGS)

chain-short: chain-bin ## two of these networks on one release
	@.cache/bin/chain -versions 0.40 -cases ssmm,sqbb $(ARGS)

chain-migrate: chain-bin ## six stock validators become ours, one a time, and go over to QUIC; transactions flow
	@.cache/bin/chain -versions $(or $(VERSIONS),0.40) -cases ssssss -do migrate $(ARGS)

chain-soak: chain-bin need-cc ## validators are killed, stopped and paused for SOAK (1h), under the race detector
	@.cache/bin/chain -versions $(or $(VERSIONS),0.40) -cases $(or $(CASES),sqbb) -do churn -race -for $(SOAK) $(ARGS)

quads := ssss,mmmm,qqqq
chain-bench: chain-bin ## block rates, commits, CPU, memory, floods and late nodes, stock beside ours: three rounds
	@.ci/quiet .cache/bin/chain -versions $(or $(VERSIONS),0.40) -cases $(or $(CASES),$(quads)) \
	  -do idle,flood,sync,limited -rounds 3 $(ARGS)

twenties := 20s,20m,20q
chain-far: chain-bin ## block rates of 20 validators in five regions, as root, stock beside ours: three rounds
	@$(root) .cache/bin/chain -versions $(or $(VERSIONS),0.40) -cases $(or $(CASES),$(twenties)) \
	  -do far -rounds 3 $(ARGS)

chain-suites: ## CometBFT's own tests of switches and nodes, stock and over ours (ARGS="-suites pex -wires comet -log")
	@go build -o .cache/bin/suites ./internal/suites
	@.cache/bin/suites $(ARGS)

golibp2p-suites: ## pubsub's and kad-dht's own tests over hosts of go-libp2p and ours (ARGS="-suites pubsub")
	@cd modules/golibp2p && go build -o ../../.cache/bin/golibp2p-suites ./internal/suites
	@.cache/bin/golibp2p-suites $(ARGS)

chain-e2e: need-cc need-ip ## CometBFT's end-to-end tests, as root, stock beside ours (ARGS="-networks ci")
	@go build -o .cache/bin/e2e ./internal/e2e
	@$(root) env PATH="$$PATH" .cache/bin/e2e $(ARGS)

bench: ## ours beside the real peers, in one process (ARGS="-rounds 5 -only set-ups")
	@cd internal/interop && go build -o ../../.cache/bin/ ./bench ./benchsync
	@cd internal/interoplibp2p && go build -o ../../.cache/bin/bench-libp2p ./bench
	@cd modules/golibp2p && go build -o ../../.cache/bin/bench-golibp2p ./internal/bench
	@.ci/quiet .cache/bin/bench $(ARGS)
	@.ci/quiet .cache/bin/bench-libp2p $(ARGS)
	@.ci/quiet .cache/bin/bench-golibp2p $(ARGS)
	@.ci/quiet .cache/bin/benchsync $(ARGS)
	@$(MAKE) --no-print-directory bench-store

bench-store: ## our peer store beside others (ARGS="-rounds 5 -only store", STORE="-sizes 1000,10000")
	@cd internal/benchstore && go build -o ../../.cache/bin/bench-store .
	@cd internal/benchstore/tendermint && go build -o ../../../.cache/bin/bench-tendermint .
	@.cache/bin/bench-store -tendermint .cache/bin/bench-tendermint $(ARGS) $(STORE)

eclipse: ## an attack on the outbound links: makes docs/eclipse.md and its pictures anew, in minutes (ARGS="-seeds 1")
	@cd internal/eclipse && go test -count=1 -timeout 60m -v -run '^TestEclipse$$' . -out ../../docs $(ARGS)

sizes: ## how large three binaries are, beside the same with go-libp2p, and of how many modules and packages
	@go run ./internal/sizes

microbench: ## the Go benchmarks of the packages (PKG=./muxer/mconn to choose)
	go test -run '^$$' -bench . -benchmem -timeout 30m $(PKG)

fuzz: ## every fuzz target of every module for FUZZTIME each (10s)
	@.ci/fuzz $(FUZZTIME) $(MODULES)

generate: need-protoc ## the Go code of the .proto files
	@mkdir -p .cache/bin && go build -o .cache/bin/ google.golang.org/protobuf/cmd/protoc-gen-go
	@set -e; for f in $$(git ls-files -co --exclude-standard '*.proto'); do \
	  echo "$$f"; protoc --plugin=.cache/bin/protoc-gen-go --go_out=. --go_opt=paths=source_relative "$$f"; done

clean: ## what the other targets made
	rm -rf bin .cache $(JSPEER)/node_modules $(PAGETEST)/node_modules
	find . -name '*.test' -type f -delete
	find . -name '*.prof' -type f -delete

# The race detector needs a C compiler.
need-cc:
	@.ci/need gcc gcc libc6-dev

need-ip:
	@.ci/need ip iproute2

# js-libp2p runs on Node; its packages are those of the lock file.
need-js:
	@.ci/need node nodejs
	@.ci/need npm npm
	@cd $(JSPEER) && if ! cmp -s package-lock.json node_modules/.installed; then \
	  npm ci --loglevel=error && cp package-lock.json node_modules/.installed; fi

# The tests of the live page drive Debian's Chromium; their packages are those of the lock file.
need-browser:
	@.ci/need node nodejs
	@.ci/need npm npm
	@.ci/need chromium chromium fonts-dejavu-core
	@cd $(PAGETEST) && if ! cmp -s package-lock.json node_modules/.installed; then \
	  npm ci --loglevel=error && cp package-lock.json node_modules/.installed; fi

need-deploy:
	@.ci/need systemd-analyze systemd
	@.ci/need promtool prometheus

need-protoc:
	@.ci/need protoc protobuf-compiler
