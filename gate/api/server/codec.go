package server

import (
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// codecs replace all that connect brings: its own ignore unknown fields. JSON
// has two names, and a codec replaced under one of them is still there under
// the other.
func codecs() []connect.Codec {
	return []connect.Codec{binary{}, text{"json"}, text{"json; charset=utf-8"}}
}

// text is strict protobuf JSON. Names in answers are as in gate.proto, and what
// is zero is there too: index 0 is an index.
type text struct{ name string }

func (c text) Name() string { return c.name }

func (c text) Marshal(v any) ([]byte, error) {
	m, err := message(v)
	if err != nil {
		return nil, err
	}
	return protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
}

func (c text) Unmarshal(b []byte, v any) error {
	m, err := message(v)
	if err != nil {
		return err
	}
	if len(b) == 0 {
		return errors.New("empty body, want a JSON object: send {} for a message without fields")
	}
	return protojson.UnmarshalOptions{DiscardUnknown: false, RecursionLimit: 8}.Unmarshal(b, m)
}

// binary is protobuf that refuses unknown fields.
type binary struct{}

func (binary) Name() string { return "proto" }

func (binary) Marshal(v any) ([]byte, error) {
	m, err := message(v)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(m)
}

func (binary) Unmarshal(b []byte, v any) error {
	m, err := message(v)
	if err != nil {
		return err
	}
	if err := (proto.UnmarshalOptions{RecursionLimit: 8}).Unmarshal(b, m); err != nil {
		return err
	}
	return known(m.ProtoReflect())
}

// known refuses a message in which a field, at any depth, is unknown.
func known(m protoreflect.Message) (err error) {
	if b := m.GetUnknown(); len(b) > 0 {
		return fmt.Errorf("unknown field in %s", m.Descriptor().FullName())
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil:
		case f.IsList():
			for i := 0; i < v.List().Len() && err == nil; i++ {
				err = known(v.List().Get(i).Message())
			}
		default:
			err = known(v.Message())
		}
		return err == nil
	})
	return err
}

func message(v any) (proto.Message, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no protobuf message", v)
	}
	return m, nil
}
