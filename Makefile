# DVR. `make` prints this help; `make run` starts a node and a data plane, `make cluster` three of each.
SHELL      := /bin/bash
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS    := -s -w -X dvr/cmd/internal/cli.Version=$(VERSION)
DURATION   ?= 10s
JOBS       ?= $(shell nproc)
TOOLS      := $(CURDIR)/build/tools
# 90s, 5m, 1h30m in seconds
SECONDS_OF  = $$(($$(echo $(1) | sed 's/h/*3600 + /;s/m/*60 + /;s/s$$//;s/$$/ + 0/')))
# bin/dvr is the same program on machines with and without a C compiler, and Go's packages are compiled once for both.
CGO_ENABLED ?= 0
export CGO_ENABLED
# What a fuzzer may take to shrink an input that it keeps.
MINIMIZE   ?= 5s
# Of Go's fuzzers, in place of DURATION: one that ends by its clock fails where an input is still being tried then.
EXECS      ?=
# libFuzzer's targets.
FUZZ_CPP   := engine updates stored text delta netlink
FUZZ_GO    := $(shell grep -rlE '^func Fuzz' --include=*_test.go . 2>/dev/null | xargs -r -n1 dirname | sort -u)
FUZZ_DIR   := $(CURDIR)/build/fuzz-go
DASHBOARD  := controller/dashboard

.DEFAULT_GOAL := help
.PHONY: help run cluster demo demo-network build deb release dashboard dashboard-test bench-dashboard demo-gif go cpp test race sanitize fuzz fuzz-go fuzz-cpp stress stress-engine robustness bench bench-kernel bench-lpm bench-xdp profile lint gen clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

run: build ## build what is missing, start one node and one data plane in the foreground (Ctrl-C stops both)
	@deploy/run.sh

cluster: build ## the same for a cluster of three nodes with data planes: page and control API on port 8080 (Ctrl-C stops all)
	@bin/dvr launch --data-planes

demo: build ## a cluster to look at, with a full Internet table and churn (docs/tutorial.md; Ctrl-C ends it and leaves nothing)
	@bin/dvr demo

demo-network: build ## eight routers whose kernels forward pings, three nodes: cables are cut, commits go wrong and are taken back (half a minute; needs root)
	@deploy/toolchain.sh robustness
	@go test -c -o build/demo-network ./cmd/internal/e2e
	@cd cmd/internal/e2e && DVR_DEMO=1 DVR_REQUIRE_BINARIES=1 ../../../build/demo-network -test.run '^TestNetwork$$'

build: cpp ## binaries in bin/, the dashboard within (installs Node and the C++ toolchain where they are missing)
	@$(MAKE) --no-print-directory dashboard || echo "the dashboard could not be built: bin/dvr goes without it and says so at /"
	@$(MAKE) --no-print-directory go

dashboard: $(DASHBOARD)/dist/site/index.html ## the page that every node serves, embedded in bin/dvr by the next `make go`

$(DASHBOARD)/dist/site/index.html: deploy/dashboard.sh $(shell find $(DASHBOARD)/src $(DASHBOARD)/static $(DASHBOARD)/tools -type f) $(wildcard $(DASHBOARD)/*.ts $(DASHBOARD)/*.js $(DASHBOARD)/*.json)
	@deploy/dashboard.sh

go: ## bin/dvr, bin/dvr-bench, with Go alone (and the dashboard, where it is built)
	@echo "building bin/dvr, bin/dvr-bench (minutes the first time)"
	@go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/dvr ./cmd/dvr-bench

cpp: ## bin/dvr-dataplane, bin/libdvrlpm.so
	@deploy/toolchain.sh
	@mkdir -p build bin
	@echo "building bin/dvr-dataplane (minutes the first time)"
	@cd dataplane && cmake --preset release -DDVR_VERSION=$(VERSION) >../build/cmake.log 2>&1 || { cat ../build/cmake.log; exit 1; }
	@cmake --build build/release -j $(JOBS) --target dvr-dataplane dvrlpm -- --quiet
	@install -m 755 build/release/cmd/dvr-dataplane build/release/lib/libdvrlpm.so bin/

# The tests, and what they build themselves, are compiled as bin/dvr is, with its profile: each package once.
test: export GOFLAGS := $(GOFLAGS) -trimpath '-pgo=$(CURDIR)/cmd/dvr/default.pgo'
test: ## every test, Go and C++, and the fuzzers for seconds, 8 to 16 minutes on 2 cores
	@deploy/toolchain.sh test & tools=$$!; $(MAKE) --no-print-directory go; built=$$?; wait $$tools && exit $$built
	@$(MAKE) --no-print-directory cpp
	@echo "building the C++ tests (minutes the first time)"
	@cmake --build build/release -j $(JOBS) -- --quiet
	@ctest --test-dir build/release --output-on-failure -j $(JOBS)
	@# The Go tests wait half of their time, for elections and processes: the fuzzers take what they leave.
	@nice -n 19 $(MAKE) --no-print-directory fuzz-go fuzz-cpp DURATION=2s EXECS=5000x MINIMIZE=5x >build/fuzz.log 2>&1 & fuzzers=$$!; \
	echo "go test ./... (the fuzzers beside it: build/fuzz.log)"; DVR_REQUIRE_BINARIES=1 go test -vet=off -timeout 15m ./...; tests=$$?; \
	wait $$fuzzers && echo "the fuzzers found nothing" || { tail -n 60 build/fuzz.log; echo "a fuzzer failed: build/fuzz.log"; tests=1; }; exit $$tests

dashboard-test: ## the dashboard in bin/dvr, tested in Chromium against real clusters (three minutes after `make build`)
	@deploy/toolchain.sh browser
	@DVR_REQUIRE_BINARIES=1 deploy/dashboard.sh test

bench-dashboard: ## the dashboard's first load, a million routes scrolled and searched, 500 routers dragged, in Chromium
	@deploy/toolchain.sh browser
	@DVR_MEASURE=1 deploy/dashboard.sh test e2e/measure.test.mjs

demo-gif: build ## docs/demo.gif and docs/dashboard.png, recorded anew from `dvr demo` in Chromium (three minutes, 3 GB)
	@deploy/toolchain.sh browser film
	@deploy/dashboard.sh film

deb: build ## Debian packages of node, command line and data plane in build/packages
	@deploy/toolchain.sh packages
	@deploy/deb/build.sh

release: build ## tarball, Debian packages, bill of materials (CycloneDX) and checksums in build/dist
	@deploy/toolchain.sh packages
	@deploy/release.sh

docker-test: ## the containers of deploy/docker from bin/, really run: killed, cut off, in TLS (two minutes; says so where Docker cannot be had)
	@deploy/toolchain.sh docker || { echo "SKIPPED: Docker cannot be installed here"; exit 0; }; status=0; \
	deploy/docker/try.sh || status=$$?; if ((status == 77)); then echo "SKIPPED: the containers were not tried"; else exit $$status; fi

helm-test: ## the Helm chart, rendered by Helm, judged by Kubernetes' types and schema (minutes the first time, for Helm's modules)
	@cd deploy/helm/check && GOFLAGS= go test ./...

race: ## Go tests under the race detector
	CGO_ENABLED=1 go test -race -short -timeout 20m ./...

sanitize: ## C++ tests under ASan+UBSan and TSan
	@deploy/toolchain.sh test
	@for p in asan ubsan tsan; do echo "== $$p"; (cd dataplane && cmake --preset $$p >/dev/null) && cmake --build build/$$p -j $(JOBS) -- --quiet && ctest --test-dir build/$$p --output-on-failure -j 1 || exit 1; done

fuzz: fuzz-go fuzz-cpp ## every fuzzer for DURATION (10s)

# Of what is fuzzed DVR's own packages are instrumented, one binary a package of fuzzers.
fuzz-go:
	@echo "building the Go fuzzers (a minute the first time)"
	@mkdir -p $(FUZZ_DIR)
	@go test -c -ldflags='-s -w' -gcflags=dvr/...=-d=libfuzzer -o $(FUZZ_DIR)/ $(FUZZ_GO)
	@cache=$$(go env GOCACHE)/fuzz/dvr; for d in $(FUZZ_GO:./%=%); do for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' $$d/*_test.go | cut -c6-); do echo "== $$d $$f"; (cd $$d && $(FUZZ_DIR)/$${d##*/}.test -test.run '^$$' -test.fuzz "^$$f$$" -test.fuzztime $(or $(EXECS),$(DURATION)) -test.fuzzminimizetime $(MINIMIZE) -test.fuzzcachedir $$cache/$$d) || exit 1; done; done

fuzz-cpp:
	@deploy/toolchain.sh test
	@echo "building the C++ fuzzers (a minute the first time)"
	@mkdir -p build
	@cd dataplane && cmake --preset fuzz >../build/cmake-fuzz.log 2>&1 || { cat ../build/cmake-fuzz.log; exit 1; }
	@cmake --build build/fuzz -j $(JOBS) --target $(addprefix fuzz_,$(FUZZ_CPP)) -- --quiet
	@for f in $(FUZZ_CPP); do echo "== fuzz_$$f"; (cd build/fuzz && fuzz/fuzz_$$f -max_total_time=$(call SECONDS_OF,$(DURATION)) -verbosity=0) || exit 1; done

stress: build stress-engine ## the engine beside readers; kill -9 of node, data plane and external etcd under load for DURATION (10s) each; the full table on both stores
	DVR_REQUIRE_BINARIES=1 DVR_STRESS=$(DURATION) go test -count=1 -timeout 24h -run 'Stress|FullTable' ./cmd/internal/e2e

stress-engine: # damage at every byte of a journal; DURATION for each of six mixtures, 10M random updates on each real table and number of ids
	@deploy/toolchain.sh test
	@cd dataplane && cmake --preset release >../build/cmake.log 2>&1 || { cat ../build/cmake.log; exit 1; }
	@cmake --build build/release -j $(JOBS) --target engine_stress_test journal_test -- --quiet
	DVR_STRESS=1 build/release/test/journal_test --gtest_brief=1
	@mkdir -p build/tables && for t in prefixes4 prefixes6 churn; do zstd -dfq --long=27 dataplane/tables/$$t.txt.zst -o build/tables/$$t.txt || exit 1; done
	DVR_TABLES=build/tables DVR_STRESS=$(call SECONDS_OF,$(DURATION)) DVR_UPDATES=10000000 build/release/test/engine_stress_test --gtest_brief=1

robustness: build ## three nodes under load and random faults for DURATION, judged from outside; then broken nodes, which must be caught
	@deploy/toolchain.sh robustness
	DVR_REQUIRE_BINARIES=1 DVR_ROBUSTNESS=$(DURATION) go test -count=1 -timeout 24h -v -run 'TestLong|TestMutantsAreCaught' ./cmd/internal/robustness

bench: build ## the figures of docs/performance.md, ratios within one run; fails where one is missed
	@deploy/toolchain.sh bench
	bin/dvr-bench all; failed=$$?; for part in bench-lpm bench-kernel bench-xdp; do $(MAKE) --no-print-directory $$part || failed=1; done; exit $$failed

bench-lpm: ## lookups and updates of the engine against DPDK's rte_fib, in one run
	@deploy/toolchain.sh bench
	@mkdir -p build/tables
	@for t in prefixes4 prefixes6 churn; do zstd -dfq --long=27 dataplane/tables/$$t.txt.zst -o build/tables/$$t.txt || exit 1; done
	@cd dataplane && cmake --preset release >../build/cmake.log 2>&1 || { cat ../build/cmake.log; exit 1; }
	@cmake --build build/release -j $(JOBS) --target lpm_bench -- --quiet
	build/release/bench/lpm_bench build/tables

bench-kernel: ## the kernel sink against `ip -batch` in one run, in a network namespace (a minute or two; needs root)
	@deploy/toolchain.sh bench
	@mkdir -p build/tables
	@for t in prefixes4 prefixes6; do zstd -dfq --long=27 dataplane/tables/$$t.txt.zst -o build/tables/$$t.txt || exit 1; done
	@cd dataplane && cmake --preset release >../build/cmake.log 2>&1 || { cat ../build/cmake.log; exit 1; }
	@cmake --build build/release -j $(JOBS) --target kernel_bench -- --quiet
	DVR_PREFIXES4=build/tables/prefixes4.txt DVR_PREFIXES6=build/tables/prefixes6.txt build/release/bench/kernel_bench

bench-xdp: ## forwarding in XDP against the kernel's, both Internet tables, in a network namespace (a minute; needs root)
	@deploy/toolchain.sh bench
	@mkdir -p build/tables
	@for t in prefixes4 prefixes6; do zstd -dfq --long=27 dataplane/tables/$$t.txt.zst -o build/tables/$$t.txt || exit 1; done
	@cd dataplane && cmake --preset release >../build/cmake.log 2>&1 || { cat ../build/cmake.log; exit 1; }
	@cmake --build build/release -j $(JOBS) --target xdp_bench -- --quiet
	DVR_PREFIXES4=build/tables/prefixes4.txt DVR_PREFIXES6=build/tables/prefixes6.txt build/release/bench/xdp_bench

profile: go ## renew cmd/dvr/default.pgo, the profile of a node under load by which the compiler optimises bin/dvr (a minute)
	@bin/dvr-bench profile cmd/dvr/default.pgo

lint: ## vet, formatting, tidy modules, generated code, known vulnerabilities, the other C++ compiler
	@deploy/toolchain.sh lint
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	go mod tidy -diff
	@$(MAKE) --no-print-directory go && deploy/vulnerabilities.sh
	@$(MAKE) --no-print-directory gen && git diff --exit-code -- controller/fibpb controller/peerpb dataplane/sinks/xdp/forward.bpf.o dataplane/sinks/xdp/forward.bpf.sums
	@clang-format-19 --dry-run -Werror $$(git ls-files 'dataplane/*.cc' 'dataplane/*.h' 'dataplane/*.bpf.c')
	@cd dataplane && cmake --preset clang >/dev/null && cmake --build ../build/clang -j $(JOBS) --target all benchmarks -- --quiet

gen: ## Go code from dataplane/proto, controller/peer and the API's description, and the XDP sink's program for BPF
	@go generate ./controller/httpapi/client
	@GOBIN=$(TOOLS) go install google.golang.org/protobuf/cmd/protoc-gen-go
	@GOBIN=$(TOOLS) go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
	@PATH=$(TOOLS):$$PATH protoc -I dataplane/proto --go_out=. --go_opt=module=dvr --go-grpc_out=. --go-grpc_opt=module=dvr fib.proto
	@PATH=$(TOOLS):$$PATH protoc -I controller/peer --go_out=. --go_opt=module=dvr --go-grpc_out=. --go-grpc_opt=module=dvr peer.proto
	@cd dataplane/sinks/xdp && clang-19 -O2 -g -Wall -Wextra -Werror -target bpf -mcpu=v3 -fdebug-compilation-dir=. -isystem /usr/include/$$(uname -m)-linux-gnu -c forward.bpf.c -o $(TOOLS)/forward.bpf.o
	@cd dataplane/sinks/xdp && /usr/sbin/bpftool gen object forward.bpf.o $(TOOLS)/forward.bpf.o && sha256sum layout.h forward.bpf.c forward.bpf.o >forward.bpf.sums

clean: ## remove what was built (not ./data)
	rm -rf bin build dvr-control-plane $(DASHBOARD)/dist/site $(DASHBOARD)/node_modules $(DASHBOARD)/.svelte-kit
