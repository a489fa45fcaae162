package service

import (
	"bytes"
	"testing"

	"dvr/eventlog"
)

// FuzzChange: what another node sends as a change is read as one that is sent on
// alike, or refused; as an error it is one.
func FuzzChange(f *testing.F) {
	for _, c := range []Change{
		{ID: "a", Actor: "x", Source: "192.0.2.1", Reason: "why", Events: []eventlog.Event{&eventlog.RouterSet{Router: "r1"}}},
		{ID: "b", Actor: "x", Generated: true, Caller: Caller{Credential: "dvr_a_b", For: "y"}, Events: []eventlog.Event{&eventlog.KeyPut{Key: "k", Value: "v"}}},
	} {
		raw, err := AppendChange(nil, &c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add(AppendError(nil, ErrNotFound))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := ReadError(raw); err == nil {
			t.Fatalf("%q is no error", raw)
		}
		var reader, other ChangeReader
		c, err := reader.Read(raw)
		if err != nil {
			return
		}
		sent, err := AppendChange(nil, &c)
		if err != nil {
			return // of an operation that only reading gives
		}
		again, err := other.Read(sent)
		if err != nil {
			t.Fatalf("%q was read and is not as it is sent on, %q: %v", raw, sent, err)
		}
		twice, err := AppendChange(nil, &again)
		if err != nil || !bytes.Equal(sent, twice) {
			t.Fatalf("%q became %q, %v", sent, twice, err)
		}
	})
}
