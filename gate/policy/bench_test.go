package policy_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"plastron/gate/policy"
)

// hundred is a policy of 100 rules on one issuer; request is granted by the last.
func hundred(t testing.TB) *policy.Policy {
	var b strings.Builder
	b.WriteString("rules:\n")
	for i := range 100 {
		fmt.Fprintf(&b, `- name: rule-%d
  id: spiffe://acme.example/shop/{{ build.repository_name }}
  ttl: 1h
  token: {issuer: cluster, namespace: shop, service_account: "*pi"}
  build: {root: public-good, source: github.com/acme/*, repository_id: %q, min_age: 10m}
  node: {any: [fleet]}
  artifact: [measured]
  when: build.ref.startsWith("refs/tags/v") && build.age < duration("720h")
`, i, fmt.Sprint(512345-99+i))
	}
	b.WriteString("refuse:\n- {name: no-target, when: 'has(build.event) && build.event == \"pull_request_target\"'}\n")
	return load(t, b.String())
}

// cpu reports processor time beside time: on a shared machine it is the truer
// of the two.
func cpu(b *testing.B) func() {
	used := func() (d time.Duration) {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	start := used()
	return func() { b.ReportMetric(float64(used()-start)/float64(b.N), "cpu-ns/op") }
}

func BenchmarkDecide100(b *testing.B) {
	p, f := hundred(b), shopFacts(b)
	b.ReportAllocs()
	defer cpu(b)()
	for b.Loop() {
		if yes, no := p.Decide(f); yes == nil || yes.Rule != "rule-99" {
			b.Fatal(no)
		}
	}
}

func BenchmarkRefuse100(b *testing.B) {
	p, f := hundred(b), shopFacts(b)
	f.Build.RepositoryID = "1"
	b.ReportAllocs()
	defer cpu(b)()
	for b.Loop() {
		if yes, _ := p.Decide(f); yes != nil {
			b.Fatal(yes)
		}
	}
}

func BenchmarkTokenMatches100(b *testing.B) {
	p, f := hundred(b), shopFacts(b)
	f.Token.Claims["kubernetes.io.namespace"] = "toys"
	b.ReportAllocs()
	defer cpu(b)()
	for b.Loop() {
		if p.TokenMatches(f.Token) == nil {
			b.Fatal("matches")
		}
	}
}

func BenchmarkDecide1(b *testing.B) {
	p, f := load(b, string(readTestdata(b, "design.yaml"))), shopFacts(b)
	b.ReportAllocs()
	defer cpu(b)()
	for b.Loop() {
		if yes, no := p.Decide(f); yes == nil {
			b.Fatal(no)
		}
	}
}

func BenchmarkLoad100(b *testing.B) {
	for b.Loop() {
		hundred(b)
	}
}
