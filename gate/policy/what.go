package policy

import (
	"slices"

	"plastron/gate/strictyaml"
)

// build compiles the build clause: what is asked for.
func (l *loader) build(r *rule, t strictyaml.At[ruleText]) error {
	if t.Value.Build == nil {
		return nil
	}
	at, y := t.Value.Build.Pos, t.Value.Build.Value
	switch {
	case y.Root.Value == "":
		return l.Errorf(at, "a build clause without root")
	case !l.env.Roots[y.Root.Value]:
		return l.Errorf(y.Root.Pos, "unknown root %s%s", quote(y.Root.Value), didYouMean(y.Root.Value, l.env.Roots))
	case y.RepositoryID == nil && y.OwnerID == nil && y.Source == nil && y.Signer == nil:
		return l.Errorf(at, "rule %s takes anybody's build: name a repository_id, owner_id, source or signer", r.name)
	}
	r.reads = append(r.reads, "build", "artifact")
	b := l.clauses("build", at)
	b.exactly("root", texts{y.Root})
	b.exactly("repository_id", y.RepositoryID)
	b.exactly("owner_id", y.OwnerID)
	b.like("source", y.Source)
	b.like("issuer", y.Issuer)
	b.like("signer", y.Signer)
	b.like("builder", y.Builder)
	b.like("build_type", y.BuildType)
	b.like("predicate_type", y.PredicateType)
	b.like("ref", y.Ref)
	b.like("event", y.Event)
	b.like("runner", y.Runner)
	b.like("workflow", y.Workflow)
	b.like("subject", y.Subject)
	b.age(y.MinAge, minAge)
	b.age(y.MaxAge, maxAge)
	r.rest = append(r.rest, b.list...)
	return b.err
}

// artifact compiles what may tie the artifact to the requester. A rule that
// says nothing takes the two that are proofs.
func (l *loader) artifact(r *rule, t strictyaml.At[ruleText]) error {
	y := t.Value
	allowed, line := y.Artifact, 0
	switch {
	case y.Artifact != nil && len(y.Artifact) == 0:
		return l.Errorf(t.Pos, "rule %s has an empty artifact list", r.name)
	case y.Build == nil && y.Artifact != nil:
		return l.Errorf(y.Artifact[0].Pos, "artifact without a build clause: a digest alone says nothing")
	case y.Build == nil && y.Claimed.Pos.Line != 0:
		return l.Errorf(y.Claimed.Pos, "insecure_claimed_artifact without a build clause")
	case y.Build == nil:
		return nil
	case y.Artifact == nil:
		allowed, line = texts{{Value: "measured"}, {Value: "token"}}, y.Build.Pos.Line
	}
	if line == 0 {
		line = allowed[0].Pos.Line
	}
	var tie []*glob
	for _, a := range allowed {
		if !slices.Contains(ties, a.Value) {
			return l.Errorf(a.Pos, "artifact is %s, want measured, token or claimed%s", quote(a.Value), strictyaml.DidYouMean(a.Value, ties))
		}
		tie = append(tie, &glob{text: a.Value})
	}
	claimed := slices.ContainsFunc(allowed, func(a text) bool { return a.Value == "claimed" })
	switch {
	case claimed && !y.Claimed.Value:
		return l.Errorf(allowed[0].Pos, "rule %s takes claimed artifacts: bundles are public, so anyone can claim one; say insecure_claimed_artifact: true if that is meant", r.name)
	case !claimed && y.Claimed.Pos.Line != 0:
		return l.Errorf(y.Claimed.Pos, "insecure_claimed_artifact, but artifact does not list claimed")
	}
	r.rest = append(r.rest, is("artifact.tie", vocabulary["artifact"]["tie"].string, tie, line))
	return nil
}
