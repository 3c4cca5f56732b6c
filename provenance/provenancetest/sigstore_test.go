package provenancetest_test

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/sigstore/rekor-tiles/v2/pkg/client/read"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/signature"

	"plastron/log/proof"
	"plastron/oidc/oidctest"
	"plastron/provenance/provenancetest"
)

func start(t *testing.T) (*provenancetest.Sigstore, *oidctest.Issuer) {
	t.Helper()
	issuer := oidctest.New(t)
	s, err := provenancetest.Start(provenancetest.Options{Issuer: issuer.URL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, issuer
}

var claims = map[string]any{
	"aud": "sigstore", "sub": "repo:acme/shop:ref:refs/heads/main",
	"job_workflow_ref": "acme/shop/.github/workflows/w.yml@refs/heads/main", "repository": "acme/shop",
}

// Rekor's own client reads the log: checkpoint, tiles, entries.
func TestTiles(t *testing.T) {
	t.Parallel()
	s, issuer := start(t)
	if _, err := s.Sign(t.Context(), issuer.Token(claims), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	tr, err := root.NewTrustedRootFromJSON(s.TrustedRoot())
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range tr.RekorLogs() {
		verifier, err := signature.LoadVerifier(log.PublicKey, crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		at, err := url.Parse(log.BaseURL)
		if err != nil {
			t.Fatal(err)
		}
		c, err := read.NewReader(at.String(), at.Hostname(), verifier)
		if err != nil {
			t.Fatal(err)
		}
		checkpoint, _, err := c.ReadCheckpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if checkpoint.Size != 1001 {
			t.Errorf("size %d, want 1001", checkpoint.Size)
		}
		checkTree(t, c, checkpoint.Size, proof.Hash(checkpoint.Hash))
	}
}

// checkTree recomputes the root from the entries served.
func checkTree(t *testing.T, c read.Client, size uint64, want proof.Hash) {
	t.Helper()
	var leaves []proof.Hash
	for from := uint64(0); from < size; from += 256 {
		width := min(size-from, 256)
		text, err := c.ReadEntryBundle(t.Context(), from/256, uint8(width%256))
		if err != nil {
			t.Fatal(err)
		}
		entries, err := proof.ParseBundle(text, int(width))
		if err != nil {
			t.Fatal(err)
		}
		tile, err := c.ReadTile(t.Context(), 0, from/256, uint8(width%256))
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range entries {
			leaf := proof.LeafHash(e)
			if !slices.Equal(leaf[:], tile[i*32:i*32+32]) {
				t.Fatalf("tile differs from entry %d", from+uint64(i))
			}
			leaves = append(leaves, leaf)
		}
	}
	if got := treeHash(leaves); got != want {
		t.Errorf("root %s, want %s", got, want)
	}
}

// treeHash is RFC 6962 §2.1, slow and obvious.
func treeHash(leaves []proof.Hash) proof.Hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := 1
	for k*2 < len(leaves) {
		k *= 2
	}
	left, right := treeHash(leaves[:k]), treeHash(leaves[k:])
	h := crypto.SHA256.New()
	h.Write([]byte{1})
	h.Write(left[:])
	h.Write(right[:])
	return proof.Hash(h.Sum(nil))
}

func TestTrustBundle(t *testing.T) {
	t.Parallel()
	s, _ := start(t)
	resp, err := http.Get(s.FulcioURL() + "/api/v2/trustBundle")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Chains []struct{ Certificates []string }
	}
	if err := json.Unmarshal(text, &answer); err != nil || len(answer.Chains) != 1 || len(answer.Chains[0].Certificates) != 2 {
		t.Fatalf("%s: %v", text, err)
	}
	for _, p := range answer.Chains[0].Certificates {
		block, _ := pem.Decode([]byte(p))
		if c, err := x509.ParseCertificate(block.Bytes); err != nil || !c.IsCA {
			t.Errorf("%v, %v", c, err)
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	s, issuer := start(t)
	stranger := oidctest.New(t)
	with := func(name string, value any) string {
		c := map[string]any{name: value}
		for k, v := range claims {
			if _, set := c[k]; !set {
				c[k] = v
			}
		}
		return issuer.Token(c)
	}
	good := issuer.Token(claims)
	issuer.Rotate()
	for _, row := range []struct {
		name, token string
		ok          bool
	}{
		{"good", good, true},
		{"good after rotation", issuer.Token(claims), true},
		{"another issuer", stranger.Token(claims), false},
		{"another issuer under this one's name", stranger.Token(map[string]any{"iss": issuer.URL(), "aud": "sigstore", "sub": "x", "job_workflow_ref": "x", "repository": "x"}), false},
		{"another audience", with("aud", "elsewhere"), false},
		{"expired", with("exp", 1), false},
		{"no subject", with("sub", ""), false},
		{"no repository", with("repository", ""), false},
	} {
		_, err := s.Sign(t.Context(), row.token, []byte("{}"))
		if (err == nil) != row.ok {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}
