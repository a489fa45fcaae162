package etcdlog

import (
	"encoding/json"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"dvr/eventlog"
)

// FuzzValues: whatever somebody puts under the log's keys is read as what it is,
// or refused; what is accepted is written alike.
func FuzzValues(f *testing.F) {
	for _, v := range []string{
		`{"format":1,"log_id":"6f1c2f0e-7a34-4b1c-9d52-0c8a5e0f4a11"}`, `{"revision":7}`, `{"revision":18446744073709551615}`, `{"revision":-1}`,
		`{"revision":7,"epoch":1,"hash":"","level":1}`, `{}`, `[]`, `null`, `"`, "", "\x00", `{"format":1,"log_id":7}`, `{"state":"complete","parts":3}`,
	} {
		f.Add(v, metaKey)
	}
	f.Add("x", batchPrefix+"00000000000000000007")
	f.Add("x", stageDir("s")+"0000")
	f.Add("x", snapDir(7, "n")+manifestName)
	f.Add("x", batchPrefix+"99999999999999999999")
	f.Fuzz(func(t *testing.T, value, key string) {
		kv := &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value), ModRevision: 1}
		if head, err := decodeHead(kv); err == nil {
			raw := eventlog.AppendHead(nil, head)
			again, err := eventlog.DecodeHead(raw)
			if again.Guard = head.Guard; err != nil || again != head {
				t.Fatalf("head %q became %q: %+v, %+v, %v", value, raw, head, again, err)
			}
		}
		_ = decodesHead(kv)
		if r, ok := batchRevision(key); ok && batchKey(r) != key {
			t.Fatalf("%q is batch %d, which is at %q", key, r, batchKey(r))
		}
		if id, ok := stageID(key); ok && !strings.HasPrefix(key, stageDir(id)) {
			t.Fatalf("%q is of stage %q", key, id)
		}
		if dir, r, nonce, ok := snapName(key); ok && (snapDir(r, nonce) != dir || !strings.HasPrefix(key, dir)) {
			t.Fatalf("%q is of snapshot %d %q, %q", key, r, nonce, dir)
		}
		if low, err := decodeLow(kv.Value); err == nil && low == 0 {
			t.Fatalf("low %q is 0", value)
		}
		l := &Log{}
		if err := l.setMeta(kv.Value); err == nil && l.id == "" {
			t.Fatalf("meta %q names no log", value)
		}
		var s eventlog.SnapshotInfo
		var m stageManifest
		_, _ = json.Unmarshal(kv.Value, &s), json.Unmarshal(kv.Value, &m)
	})
}
