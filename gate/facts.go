package gate

import (
	"plastron/gate/policy"
	"plastron/node"
	"plastron/oidc"
	"plastron/provenance"
)

// policyFacts copies what was verified into what a policy reads. It is the only
// place that fills policy.Facts, and it reads verified values only.
func policyFacts(f *facts) policy.Facts {
	p := policy.Facts{Now: f.now.UTC(), Token: f.tokenFacts(), Build: buildFacts(f.what), Node: nodeFacts(f.where)}
	if f.what != nil {
		p.Artifact = &policy.Artifact{Digest: artifact(f), Tie: string(tie(f))}
	}
	return p
}

func tokenFacts(who *oidc.Identity) *policy.Token {
	return &policy.Token{
		Issuer: who.Issuer(), URL: who.URL(), Subject: who.Subject(),
		IssuedAt: who.IssuedAt(), ExpiresAt: who.ExpiresAt(), Bound: who.Bound(), Claims: who.Claims(),
	}
}

func buildFacts(b *provenance.Build) *policy.Build {
	if b == nil {
		return nil
	}
	index, x := int64(b.LogIndex()), b.Extensions()
	return &policy.Build{
		Root: b.Root(), Issuer: b.Issuer(), Signer: b.Signer(), Builder: b.Builder(), BuildType: b.BuildType(),
		PredicateType: b.PredicateType(), Source: b.SourceRepository(), RepositoryID: b.RepositoryID(), OwnerID: b.OwnerID(),
		Commit: b.Commit(), Ref: b.Ref(), Workflow: x.BuildConfigURI, Event: b.Event(), Runner: b.Runner(), Run: b.Run(),
		Subject: b.SubjectName(), SignedAt: b.SignedAt(), LoggedAt: b.LoggedAt(), Log: b.Log(), LogIndex: &index,
	}
}

func nodeFacts(h *node.Host) *policy.Node {
	if h == nil {
		return nil
	}
	return &policy.Node{
		Name: h.Name(), Kind: h.Kind(), ID: h.ID(), Floor: string(h.Floor()), Bound: string(h.Bound()), Facts: h.Facts(),
	}
}
