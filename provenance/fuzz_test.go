package provenance

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sigstore/fulcio/pkg/certificate"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

func publicFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "cmd", "plastron", "public", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// seedBundles gives the genuine bundle, relatives of it, and a small one.
func seedBundles(f *testing.F) {
	genuine := publicFile(f, "sigstore.js@2.0.0-provenance.sigstore.json")
	f.Add(genuine)
	f.Add(bytes.Replace(genuine, []byte("+json;version=0.1"), []byte(".v0.3+json"), 1))
	f.Add(bytes.Replace(genuine, []byte(`"intoto"`), []byte(`"dsse"`), 1))
	f.Add(bytes.Replace(genuine, []byte(`"dsseEnvelope"`), []byte(`"messageSignature"`), 1))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"certificate":{"rawBytes":"AAAA"},"tlogEntries":[` +
		`{"logIndex":"1","logId":{"keyId":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},"kindVersion":{"kind":"hashedrekord","version":"0.0.2"},` +
		`"inclusionProof":{"logIndex":"1","rootHash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","treeSize":"2","hashes":[],"checkpoint":{"envelope":"x"}},"canonicalizedBody":"AAAA"}],` +
		`"timestampVerificationData":{"rfc3161Timestamps":[{"signedTimestamp":"AAAA"}]}},` +
		`"dsseEnvelope":{"payload":"AAAA","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AAAA"}]}}`))
}

// FuzzVerify: no bytes make Verify panic, answer without a code, or accept other
// evidence than the genuine one.
func FuzzVerify(f *testing.F) {
	seedBundles(f)
	v, err := New([]Root{{Name: "public-good", TrustedRoot: publicFile(f, "public-good.json")}})
	if err != nil {
		f.Fatal(err)
	}
	artifact := Digest{"sha512", "46d4e2f74c4877316640000a6fdf8a8b59f1e0847667973e9859f774dd31b8f1e0937813b777fb66a2ac67d50540fe34640966eee9fc2ccca387082b4c85cd3c"}
	genuine, err := v.Verify(f.Context(), publicFile(f, "sigstore.js@2.0.0-provenance.sigstore.json"), artifact)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := v.Verify(t.Context(), text, artifact)
		if err == nil && b.EvidenceID() != genuine.EvidenceID() {
			t.Errorf("accepted other evidence: %x", b.EvidenceID())
		}
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("refused without a code: %v", err)
		}
	})
}

// FuzzShape: what our reader takes, protobuf's reads the same; and reading it
// back from protobuf's own JSON changes nothing.
func FuzzShape(f *testing.F) {
	seedBundles(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseShape(text)
		if err != nil {
			return
		}
		var p protobundle.Bundle
		if err := protojson.Unmarshal(text, &p); err != nil {
			t.Fatalf("protobuf refuses what we take: %v", err)
		}
		sameShape(t, s, &p)
		canonical, err := protojson.Marshal(&p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseShape(canonical)
		if err != nil {
			t.Fatalf("refused in protobuf's own spelling: %v", err)
		}
		sameShape(t, again, &p)
	})
}

func sameShape(t *testing.T, s *shape, p *protobundle.Bundle) {
	t.Helper()
	m, e := p.GetVerificationMaterial(), p.GetDsseEnvelope()
	leaf := m.GetCertificate().GetRawBytes()
	if chain := m.GetX509CertificateChain().GetCertificates(); len(chain) > 0 {
		leaf = chain[0].GetRawBytes()
	}
	if s.MediaType != p.GetMediaType() || !bytes.Equal(s.leafDER(), leaf) || !bytes.Equal(s.Envelope.Payload, e.GetPayload()) ||
		s.Envelope.PayloadType != e.GetPayloadType() || len(e.GetSignatures()) != 1 ||
		!bytes.Equal(s.Envelope.Signatures[0].Signature, e.GetSignatures()[0].GetSig()) || e.GetSignatures()[0].GetKeyid() != "" {
		t.Error("envelope or certificate differ")
	}
	if len(s.Material.Entries) != len(m.GetTlogEntries()) || len(s.Material.Times.RFC3161) != len(m.GetTimestampVerificationData().GetRfc3161Timestamps()) {
		t.Fatal("other numbers of entries or timestamps")
	}
	for i, ts := range m.GetTimestampVerificationData().GetRfc3161Timestamps() {
		if !bytes.Equal(ts.GetSignedTimestamp(), s.Material.Times.RFC3161[i].Response) {
			t.Errorf("timestamp %d differs", i)
		}
	}
	for i, theirs := range m.GetTlogEntries() {
		ours := s.Material.Entries[i].proto()
		p, q := ours.GetInclusionProof(), theirs.GetInclusionProof()
		if ours.LogIndex != theirs.LogIndex || !bytes.Equal(ours.LogId.KeyId, theirs.GetLogId().GetKeyId()) ||
			ours.KindVersion.Kind != theirs.GetKindVersion().GetKind() || ours.KindVersion.Version != theirs.GetKindVersion().GetVersion() ||
			ours.IntegratedTime != theirs.IntegratedTime || !bytes.Equal(ours.CanonicalizedBody, theirs.CanonicalizedBody) ||
			!bytes.Equal(ours.GetInclusionPromise().GetSignedEntryTimestamp(), theirs.GetInclusionPromise().GetSignedEntryTimestamp()) ||
			p.LogIndex != q.GetLogIndex() || p.TreeSize != q.GetTreeSize() || !bytes.Equal(p.RootHash, q.GetRootHash()) ||
			p.Checkpoint.Envelope != q.GetCheckpoint().GetEnvelope() || !bytes.Equal(bytes.Join(p.Hashes, nil), bytes.Join(q.GetHashes(), nil)) {
			t.Errorf("log entry %d differs", i)
		}
	}
}

// FuzzStatement: no payload makes the reader panic, and what it accepts a lax
// reader understands the same way.
func FuzzStatement(f *testing.F) {
	artifact := Digest{"sha256", "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"}
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"x","digest":{"sha256":"` + artifact.Hex + `"}}],` +
		`"predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":{"buildType":"t","externalParameters":{"workflow":{"ref":"refs/tags/v1","repository":"https://github.com/acme/shop","path":".github/workflows/w.yml"}},` +
		`"internalParameters":{"github":{"event_name":"push","repository_id":"1"}},"resolvedDependencies":[{"uri":"git+https://github.com/acme/shop@refs/tags/v1","digest":{"gitCommit":"5f2d1c3b4a5968778695a4b3c2d1e0f102132435"}}]},` +
		`"runDetails":{"builder":{"id":"https://github.com/acme/shop/.github/workflows/w.yml@refs/tags/v1"},"metadata":{"invocationId":"https://github.com/acme/shop/actions/runs/1/attempts/1"}}}}`))
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v0.1","subject":[{"name":"x","digest":{"sha256":"` + artifact.Hex + `","sha512":"00"}}],` +
		`"predicateType":"https://slsa.dev/provenance/v0.2","predicate":{"buildType":"t","builder":{"id":"https://github.com/actions/runner"},"invocation":{"configSource":{"uri":"git+https://github.com/acme/shop@refs/tags/v1","digest":{"sha1":"5f"},"entryPoint":".github/workflows/w.yml"},` +
		`"environment":{"GITHUB_EVENT_NAME":"push","GITHUB_RUN_ID":"1","GITHUB_RUN_ATTEMPT":"1"}},"metadata":{"buildInvocationId":"1-1"},"materials":[]}}`))
	const subject = `"subject":[{"name":"x","digest":{"sha256":"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"}}]`
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1",` + subject + `,"predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":{"buildType":"https://gitlab.com/gitlab-org/gitlab-runner/-/blob/v17/PROVENANCE.md",` +
		`"externalParameters":{"source":"https://github.com/acme/shop","variables":{"CI_COMMIT_REF_NAME":"v1","CI_JOB_ID":"1"}},"internalParameters":{"job":"1"},"resolvedDependencies":[{"uri":"https://github.com/acme/shop","digest":{"sha256":"5f2d1c3b4a5968778695a4b3c2d1e0f102132435"}}]},` +
		`"runDetails":{"builder":{"id":"https://github.com/acme/shop/-/runners/1"},"metadata":{"invocationID":"1"}}}}`))
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1",` + subject + `,"predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":{"buildType":"x","externalParameters":{"configSource":{"uri":"https://github.com/acme/shop.git#v1:app","digest":{"sha1":"5f2d1c3b4a5968778695a4b3c2d1e0f102132435"}}}},` +
		`"runDetails":{"builder":{"id":"https://github.com/acme/shop/actions/runs/1"},"metadata":{"buildkit_metadata":{"vcs":{"source":"https://github.com/acme/shop","revision":"5f2d1c3b4a5968778695a4b3c2d1e0f102132435"}}}}}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		b := &Build{
			signer: "https://github.com/acme/shop/.github/workflows/w.yml@refs/tags/v1",
			extensions: certificate.Extensions{
				Issuer: "https://token.actions.githubusercontent.com", SourceRepositoryURI: "https://github.com/acme/shop", SourceRepositoryRef: "refs/tags/v1",
				SourceRepositoryDigest: "5f2d1c3b4a5968778695a4b3c2d1e0f102132435", SourceRepositoryIdentifier: "1", BuildTrigger: "push",
				BuildConfigURI:   "https://github.com/acme/shop/.github/workflows/w.yml@refs/tags/v1",
				RunInvocationURI: "https://github.com/acme/shop/actions/runs/1/attempts/1",
			},
		}
		err := b.state(payload, artifact)
		var e *Error
		if err != nil {
			if !errors.As(err, &e) || e.Code != CodeSubject && e.Code != CodePredicate {
				t.Errorf("refused as %v", err)
			}
			return
		}
		var lax struct {
			Type          string `json:"_type"`
			PredicateType string
			Subject       []struct {
				Name   string
				Digest map[string]string
			}
		}
		if err := json.Unmarshal(payload, &lax); err != nil {
			t.Fatalf("accepted, but a lax reader refuses: %v", err)
		}
		if lax.PredicateType != b.predicateType {
			t.Errorf("a lax reader reads the predicate type %q, we %q", lax.PredicateType, b.predicateType)
		}
		for _, s := range lax.Subject {
			if s.Digest["sha256"] == artifact.Hex {
				if s.Name != b.subjectName {
					t.Errorf("a lax reader reads the subject %q, we %q", s.Name, b.subjectName)
				}
				return
			}
		}
		t.Errorf("a lax reader finds no subject %x", sha256.Sum256(payload))
	})
}
