package robustness

import (
	"bytes"
	"fmt"
	"testing"

	"dvr/controller/appender"
	"dvr/eventlog"
	"dvr/eventlog/memlog"
)

const testLog = "0f0e0d0c-0b0a-4908-8706-050403020100"

// batches are the stored bytes of a log with a few commits, and what its
// writer says of it.
func batches(t *testing.T) ([][]byte, eventlog.Head, string) {
	t.Helper()
	log := memlog.New(testLog)
	a, err := appender.Open(t.Context(), log, appender.Options{Node: "n"})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for i := range 5 {
		events := []eventlog.Event{&eventlog.KeyPut{Key: fmt.Sprint("k", i), Value: "1"}}
		if i == 2 {
			events = append(events, &eventlog.KeyPut{Key: "other", Value: "2"}, &eventlog.KeyDeleted{Key: "k0"})
		}
		if _, err := a.Append(t.Context(), appender.Request{Actor: Actor, ID: fmt.Sprint("id-", i), Events: events}); err != nil {
			t.Fatal(err)
		}
	}
	var raws [][]byte
	if err := log.Read(t.Context(), 0, func(b *eventlog.Batch) error {
		raws = append(raws, bytes.Clone(b.Raw))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return raws, a.Head(), a.State().Digest().String()
}

// TestArchiveReadsWhatTheWriterWrote: revisions, hashes and digests are those
// of the writer, found by another reader.
func TestArchiveReadsWhatTheWriterWrote(t *testing.T) {
	raws, head, digest := batches(t)
	a := NewArchive("n", testLog)
	for _, raw := range raws {
		if err := a.take(raw); err != nil {
			t.Fatal(err)
		}
	}
	last := a.Entries[len(a.Entries)-1]
	if last.Revision != uint64(head.Revision) || last.Hash != head.Hash || last.Digest.String() != digest {
		t.Errorf("%+v, the writer has %+v %s", last, head, digest)
	}
	if e := a.Entries[3]; e.ID != "id-2" || len(e.Events) != 3 || e.Actor != Actor {
		t.Errorf("%+v", e)
	}
}

// TestArchiveRefusesWhatIsNoChain: any change of the stored bytes, any batch
// left out, repeated or exchanged is noticed.
func TestArchiveRefusesWhatIsNoChain(t *testing.T) {
	raws, _, _ := batches(t)
	take := func(raws ...[]byte) error {
		a := NewArchive("n", testLog)
		for _, raw := range raws {
			if err := a.take(raw); err != nil {
				return err
			}
		}
		return nil
	}
	if err := take(raws...); err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string][][]byte{
		"left out":  {raws[0], raws[2]},
		"repeated":  {raws[0], raws[1], raws[1]},
		"exchanged": {raws[0], raws[2], raws[1]},
		"cut":       {raws[0], raws[1][:len(raws[1])-1]},
		"longer":    {raws[0], append(bytes.Clone(raws[1]), raws[1]...)},
	} {
		if take(list...) == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
	changed := bytes.Replace(raws[1], []byte(`"value":"1"`), []byte(`"value":"9"`), 1)
	if err := take(raws[0], changed, raws[2]); bytes.Equal(changed, raws[1]) || err == nil {
		t.Errorf("a changed value: %v", err)
	}
}

func TestEffects(t *testing.T) {
	d, k := Item{Routes, "d"}, Item{Keys, "k"}
	before := map[Item]string{d: "a=1,b=2", k: "=3"}
	for _, test := range []struct {
		event event
		item  Item
		want  string
	}{
		{event{Kind: "route.announced", Destination: "d", NextHop: "c", Metric: 4}, d, "a=1,b=2,c=4"},
		{event{Kind: "route.announced", Destination: "d", NextHop: "a", Metric: 4}, d, "a=4,b=2"},
		{event{Kind: "route.withdrawn", Destination: "d", NextHop: "a"}, d, "b=2"},
		{event{Kind: "key.put", Key: "k", Value: "4"}, k, "=4"},
		{event{Kind: "key.deleted", Key: "k"}, k, ""},
	} {
		e := Entry{Events: []event{test.event}}
		if got := e.effect(before); len(got) != 1 || got[test.item] != test.want {
			t.Errorf("%+v: %v, want %q", test.event, got, test.want)
		}
	}
	both := Entry{Events: []event{{Kind: "route.withdrawn", Destination: "d", NextHop: "a"}, {Kind: "route.withdrawn", Destination: "d", NextHop: "b"}, {Kind: "link.set"}}}
	if got := both.effect(before); got[d] != "" || len(got) != 1 {
		t.Errorf("%v", got)
	}
}
