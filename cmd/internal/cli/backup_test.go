package cli

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dvr/controller/backup"
	"dvr/projector"
)

// aBackup is a whole file.
func aBackup(t *testing.T) []byte {
	t.Helper()
	raw, err := os.ReadFile("../../../projector/testdata/snapshot-1.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	f, err := projector.Load(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := backup.Write(&b, f.Current(), backup.Maker{Node: "n1", Program: "1.2.3"}, time.UnixMilli(1_800_000_000_000)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// executed runs a command to its exit code.
func executed(t *testing.T, args ...string) (code int, stdout, message string) {
	t.Helper()
	var out, errOut bytes.Buffer
	root := Root(Streams{In: strings.NewReader(""), Out: &out, Err: &errOut})
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	if err != nil {
		message = err.Error()
	}
	return ExitCode(err), out.String(), message
}

// TestBackupKeepsWhatWasThere: a new backup takes FILE's place only when it is
// whole and good; else FILE is as it was, and nothing lies beside it.
func TestBackupKeepsWhatWasThere(t *testing.T) {
	whole := aBackup(t)
	answer, length := whole, len(whole)
	query := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query = r.URL.RequestURI()
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(length))
		_, _ = w.Write(answer)
	}))
	defer s.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "dvr.backup")
	if code, _, errOut := executed(t, "--endpoint", s.URL, "backup", file, "--local"); code != 0 || query != "/v1/backup?consistency=local" {
		t.Fatalf("exit %d, %s, %s", code, errOut, query)
	}
	kept := func(what string) {
		t.Helper()
		list, err := os.ReadDir(dir)
		got, _ := os.ReadFile(file)
		if err != nil || len(list) != 1 || !bytes.Equal(got, whole) {
			t.Errorf("%s: %v %v, %d bytes", what, list, err, len(got))
		}
	}
	kept("a whole one")
	answer = whole[:len(whole)-9]
	if code, _, errOut := executed(t, "--endpoint", s.URL, "backup", file); code != ExitUnavailable || !strings.Contains(errOut, "ended early") {
		t.Errorf("a stream that was cut: exit %d, %s", code, errOut)
	}
	kept("a stream that was cut")
	length = len(answer)
	if code, _, errOut := executed(t, "--endpoint", s.URL, "backup", file); code != ExitFailure || !strings.Contains(errOut, "what came is not kept") {
		t.Errorf("a file that was cut: exit %d, %s", code, errOut)
	}
	kept("a file that was cut")
	if code, _, errOut := executed(t, "--endpoint", s.URL, "backup", dir); code != ExitUsage || !strings.Contains(errOut, "is not a file") {
		t.Errorf("a directory: exit %d, %s", code, errOut)
	}
	kept("a directory")
}

func TestBackupVerify(t *testing.T) {
	whole := aBackup(t)
	file := filepath.Join(t.TempDir(), "dvr.backup")
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(whole)
	code, out, errOut := executed(t, "backup", "verify", file)
	if code != 0 || !strings.Contains(out, "is intact: a backup of revision 19, epoch 1.") || !strings.Contains(out, "2027-01-15T08:00:00Z by n1 (1.2.3)") || !strings.Contains(out, "8 routes") {
		t.Errorf("exit %d: %s%s", code, out, errOut)
	}
	code, out, _ = executed(t, "backup", "verify", file, "-o", "json")
	var v struct {
		Revision, Routes, Bytes int
		Digest                  string
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != 0 || v.Revision != 19 || v.Routes != 8 || v.Bytes != len(whole) || v.Digest != "4520c9dfdebbb4e7b7dcaeb2072467c1" {
		t.Errorf("%+v %v: %s", v, err, out)
	}
	whole[len(whole)/2] ^= 1
	write(whole)
	if code, _, errOut := executed(t, "backup", "verify", file); code != ExitFailure || !strings.Contains(errOut, "damaged") {
		t.Errorf("damaged: exit %d, %s", code, errOut)
	}
	if code, _, errOut := executed(t, "restore", file, "--data-dir", filepath.Join(filepath.Dir(file), "new")); code != ExitFailure || !strings.Contains(errOut, "damaged") {
		t.Errorf("restore: exit %d, %s", code, errOut)
	}
	if code, _, _ := executed(t, "backup", "verify", file, "--endpoint", "x"); code != ExitUsage {
		t.Errorf("with an endpoint: exit %d", code)
	}
	if code, _, _ := executed(t, "restore", file, "--data-dir", ""); code != ExitUsage {
		t.Errorf("without a directory: exit %d", code)
	}
}
