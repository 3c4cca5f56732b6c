package server

import (
	"context"

	"plastron/gate"
	gatev1 "plastron/gate/api/v1"
	"plastron/log/proof"
	"plastron/node"
)

// A service is GateService: each method is one call of the gate.
type service struct {
	gate    *gate.Gate
	metrics *Metrics
}

func (s *service) Beacon(ctx context.Context, _ *gatev1.BeaconRequest) (*gatev1.BeaconResponse, error) {
	note, err := s.gate.Beacon(ctx)
	if err != nil {
		return nil, s.metrics.no(err)
	}
	return &gatev1.BeaconResponse{Beacon: note}, nil
}

func (s *service) Bundle(ctx context.Context, _ *gatev1.BundleRequest) (*gatev1.BundleResponse, error) {
	b, err := s.gate.Bundle(ctx)
	if err != nil {
		return nil, s.metrics.no(err)
	}
	res := &gatev1.BundleResponse{Certificates: b.Certificates, Checkpoint: b.Checkpoint}
	if res.Trust, err = proven(b.Trust); err != nil {
		return nil, s.metrics.no(err)
	}
	if res.Genesis, err = proven(b.Genesis); err != nil {
		return nil, s.metrics.no(err)
	}
	return res, nil
}

func (s *service) Challenge(ctx context.Context, r *gatev1.ChallengeRequest) (*gatev1.ChallengeResponse, error) {
	challenge, err := s.gate.Challenge(ctx, r.GetKind(), r.GetRequest(), r.GetBeacon(), r.GetSpki())
	if err != nil {
		return nil, s.metrics.no(err)
	}
	return &gatev1.ChallengeResponse{Challenge: challenge}, nil
}

func (s *service) Enrol(ctx context.Context, r *gatev1.EnrolRequest) (*gatev1.EnrolResponse, error) {
	index, err := s.gate.Enrol(ctx, r.GetKind(), r.GetRequest(), r.GetAnswer(), r.GetBeacon(), r.GetSpki())
	if err != nil {
		return nil, s.metrics.no(err)
	}
	return &gatev1.EnrolResponse{Index: index}, nil
}

func (s *service) Issue(ctx context.Context, r *gatev1.IssueRequest) (*gatev1.IssueResponse, error) {
	defer s.metrics.issuing()()
	req := &gate.Request{CSR: r.GetCsr(), Beacon: r.GetBeacon(), Token: r.GetToken(), Artifact: r.GetArtifact()}
	if len(r.GetBundle()) > 0 {
		req.Bundle = r.GetBundle()
	}
	for _, e := range r.GetEvidence() {
		req.Evidence = append(req.Evidence, node.Evidence{Kind: e.GetKind(), Data: e.GetData()})
	}
	if n := r.GetRenewal(); n != nil {
		req.Renewal = &gate.Renewal{SVID: n.GetSvid(), Signature: n.GetSignature()}
	}
	v, err := s.gate.Issue(ctx, req)
	if err != nil {
		return nil, s.metrics.no(err)
	}
	text, err := tlogProof(v.Proof())
	if err != nil {
		return nil, s.metrics.no(err)
	}
	return &gatev1.IssueResponse{Chain: v.Chain(), Index: v.Index(), TlogProof: text, CaCertificates: s.gate.Trust().Certificates}, nil
}

func proven(p gate.Proven) (*gatev1.ProvenEntry, error) {
	text, err := tlogProof(p.Proof)
	if err != nil {
		return nil, err
	}
	return &gatev1.ProvenEntry{Entry: p.Entry, TlogProof: text}, nil
}

func tlogProof(p proof.Proof) (string, error) {
	text, err := p.MarshalText()
	return string(text), err
}
