# Needs Go 1.21 or newer, git and make. The Go toolchain that go.mod names is
# fetched by the go command itself.
export GOTOOLCHAIN := auto

.PHONY: demo build test lint fuzz crash powercut proto

demo: build ## the whole story on this machine
	bin/plastron demo

# The same flags as the tests have, so that both share what is compiled.
build:
	go build -o bin/plastron ./cmd/plastron

test:
	go test ./...

lint: ## formatting, vet, staticcheck, go mod tidy
	.ci/run format vet staticcheck tidy

FUZZTIME ?= 10s
fuzz: ## every fuzz target for FUZZTIME
	FUZZTIME=$(FUZZTIME) .ci/run fuzz

# What is printed of a crash test: not the tests that passed in it.
SAID = grep -v -e '^=== ' -e '^ .*--- PASS: ' -e 'fsck.go:'

crash powercut: SHELL := bash
crash powercut: .SHELLFLAGS := -o pipefail -c

STATES ?= 1000000
crash: ## a million crash states of the log, and every system call that it makes
	go test ./log -run '^(TestStates|TestCrash|TestRestart|TestPoison.*|TestKill|TestShortWrite|TestSyscalls)$$' \
		-v -timeout 60m -states $(STATES) -syscalls | $(SAID)

POWERCUTS ?= 50
powercut: ## copies of a disk in use, as root: the log on a loop device
	go test ./log -run '^TestPowerCut$$' -v -timeout 30m -powercuts $(POWERCUTS) | $(SAID)

# Generated code is committed: only who changes gate.proto needs protoc.
proto:
	go build -modfile=tools.mod -o bin/ google.golang.org/protobuf/cmd/protoc-gen-go connectrpc.com/connect/cmd/protoc-gen-connect-go
	PATH="$(CURDIR)/bin:$$PATH" protoc -I plastron/gate/v1=gate/api/v1 \
		--go_out=. --go_opt=module=plastron \
		--connect-go_out=. --connect-go_opt=module=plastron,package_suffix,simple \
		gate/api/v1/gate.proto
