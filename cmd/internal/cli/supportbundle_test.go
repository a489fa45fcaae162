package cli

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unpacked is what a bundle holds, by name.
func unpacked(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(r)
		if err != nil || h.Mode != 0o600 {
			t.Fatalf("%s: %v, mode %o", h.Name, err, h.Mode)
		}
		out[strings.TrimPrefix(h.Name, "dvr-support/")] = string(raw)
	}
}

func TestSupportBundle(t *testing.T) {
	var after string
	var other string // the second node, which is known by the first
	serve := func(id string) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/v1/cluster/members":
				fmt.Fprintf(w, `{"members":[{"node_id":"n2","api":%q},{"node_id":"n3","api":"127.0.0.1:1"}]}`, other)
			case "/v1/status":
				fmt.Fprintf(w, `{"node_id":%q,"revision":1000}`, id)
			case "/v1/commits":
				after = r.URL.Query().Get("after")
				fmt.Fprint(w, `{"commits":[{"revision":999,"events":[{"kind":"key.put","key":"k","value":"secret"},{"kind":"timer.set","events":[{"kind":"key.put","key":"k","value":"hidden"}]}]}]}`)
			case "/health":
				if id == "n2" {
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(503)
					fmt.Fprint(w, `{"status":"no quorum"}`)
					return
				}
				fmt.Fprint(w, `{"status":"healthy"}`)
			case "/metrics":
				fmt.Fprint(w, "# HELP dvr_revision\n")
			case "/v1/timers":
				fmt.Fprint(w, `{"timers":[{"revision":5,"event":{"kind":"timer.set","name":"t","events":[{"kind":"key.put","key":"db/password","value":"hidden"}]}}],"revision":5}`)
			case "/v1/links":
				w.WriteHeader(404)
			case "/api/control/nodes":
				fmt.Fprint(w, `{"node/../1":{"data_plane":{}},"node2":{}}`)
			case "/api/control/logs/node%2F..%2F1", "/api/control/logs/node/../1", "/api/control/logs/node2":
				fmt.Fprintf(w, "%s of %s\n", r.URL.Query().Get("lines"), r.URL.Query().Get("of"))
			default:
				fmt.Fprint(w, `{}`)
			}
		}))
	}
	second := serve("n2")
	defer second.Close()
	other = strings.TrimPrefix(second.URL, "http://")
	first := serve("n1")
	defer first.Close()
	path := filepath.Join(t.TempDir(), "b.tar.gz")
	out, err := runLocal(t, "support-bundle", path, "--endpoint", first.URL, "--launcher", first.URL, "--timeout", "3s")
	if err != nil || !strings.Contains(out, path+": ") || !strings.Contains(out, "errors.txt") {
		t.Fatalf("%v %s", err, out)
	}
	got := unpacked(t, path)
	for name, want := range map[string]string{
		"nodes/" + fileName(first.URL) + "/health.json": "healthy", "nodes/" + fileName(other) + "/v1_status.json": "n2", "nodes/" + fileName(other) + "/metrics.txt": "# HELP",
		"nodes/" + fileName(other) + "/health.json": "no quorum",
		"cluster/cluster_members.json":              "n3", "cluster/routers.json": "{}", "cluster/commits.json": `"(6 bytes)"`, "cluster/timers.json": `"(6 bytes)"`, "launcher/nodes.json": "node2",
		"launcher/node2-node.log": "5000 of node", "launcher/node____1-dataplane.log": "of dataplane", "errors.txt": "127.0.0.1:1 /health", "dvr-version.txt": version(),
	} {
		if !strings.Contains(got[name], want) {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	for name, text := range got {
		if strings.Contains(text, "secret") || strings.Contains(text, "hidden") || strings.Contains(name, "..") {
			t.Errorf("%s has what it must not have", name)
		}
	}
	if _, there := got["launcher/node2-dataplane.log"]; there || after != "800" || strings.Count("\n"+got["errors.txt"], "\n127.0.0.1:1 /") != 1 {
		t.Errorf("after %s\n%s", after, got["errors.txt"])
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := runLocal(t, "support-bundle", path, "--endpoint", first.URL); !errors.Is(err, os.ErrExist) {
		t.Errorf("it is overwritten: %v", err)
	}
	again := filepath.Join(t.TempDir(), "c.tar.gz")
	if _, err := runLocal(t, "support-bundle", again, "--endpoint", first.URL, "--values", "--timeout", "3s"); err != nil {
		t.Fatal(err)
	}
	if got := unpacked(t, again); !strings.Contains(got["cluster/commits.json"], "secret") || !strings.Contains(got["cluster/timers.json"], "hidden") {
		t.Error("--values leaves none")
	}
}

// TestSupportBundleOfNobody: without any node there is still a file that says so.
// TestSupportBundleKeepsTheToken: an address that somebody got into the list of
// members is not sent it, in clear text; one that the caller names is.
func TestSupportBundleKeepsTheToken(t *testing.T) {
	var announced string
	seen := map[string]map[string]bool{}
	serve := func(id string) *httptest.Server {
		seen[id] = map[string]bool{}
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen[id][r.Header.Get("Authorization")] = true
			if r.URL.Path == "/v1/cluster/members" {
				fmt.Fprintf(w, `{"members":[{"node_id":"n2","api":%q}]}`, announced)
				return
			}
			fmt.Fprint(w, `{}`)
		}))
	}
	first, second := serve("first"), serve("second")
	defer first.Close()
	defer second.Close()
	announced = strings.TrimPrefix(second.URL, "http://")
	t.Setenv("DVR_TOKEN", "dvr_a_b")
	at := strings.TrimPrefix(first.URL, "http://")
	for file, endpoints := range map[string][]string{"one": {at}, "both": {at, announced}} {
		clear(seen["second"])
		args := []string{"support-bundle", filepath.Join(t.TempDir(), file)}
		for _, e := range endpoints {
			args = append(args, "--endpoint", e)
		}
		if _, err := runLocal(t, args...); err != nil {
			t.Fatal(err)
		}
		if !seen["first"]["Bearer dvr_a_b"] || seen["second"]["Bearer dvr_a_b"] != (len(endpoints) == 2) || len(seen["second"]) == 0 {
			t.Errorf("%s: sent %v", file, seen)
		}
	}
}

func TestSupportBundleOfNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.tar.gz")
	if _, err := runLocal(t, "support-bundle", path, "--endpoint", "127.0.0.1:1", "--timeout", "200ms"); err != nil {
		t.Fatal(err)
	}
	if got := unpacked(t, path); !strings.Contains(got["errors.txt"], "127.0.0.1:1") || len(got) != 2 {
		t.Errorf("%v", got)
	}
}

// TestSupportBundleOfAnotherService: what answers with anything but JSON, well or
// not, is named, and the rest of the bundle is there.
func TestSupportBundleOfAnotherService(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusServiceUnavailable} {
		for _, odd := range []string{"/v1/cluster/members", "/v1/status", "/v1/commits", "/api/control/nodes", ""} {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if odd == "" || r.URL.Path == odd {
					w.WriteHeader(status)
					fmt.Fprint(w, `<html>{"kind":"key.put","value":"secret"}</html>`)
					return
				}
				fmt.Fprint(w, `{"revision":3}`)
			}))
			path := filepath.Join(t.TempDir(), "b.tar.gz")
			out, err := runLocal(t, "support-bundle", path, "--endpoint", s.URL, "--launcher", s.URL, "--timeout", "100ms")
			s.Close()
			if err != nil {
				t.Fatalf("%d of %q: %v %s", status, odd, err, out)
			}
			got := unpacked(t, path)
			if errs := got["errors.txt"]; !strings.Contains(errs, cmp.Or(odd, "/health")+": ") {
				t.Errorf("%d of %q: errors.txt has %q", status, odd, errs)
			}
			if odd != "" && (got["cluster/timers.json"] == "" || !strings.Contains(out, "of "+s.URL)) {
				t.Errorf("%d of %q: it has not gone on: %s", status, odd, out)
			}
			for name, text := range got {
				if strings.Contains(text, "secret") {
					t.Errorf("%d of %q: %s has what it must not have: %s", status, odd, name, text)
				}
			}
		}
	}
}
