package httpapi

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"dvr/controller/fibpb"
)

const monitoring = "../../deploy/monitoring/"

// alertRules are deploy/monitoring's.
func alertRules(t *testing.T) (rules []struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}) {
	t.Helper()
	content, err := os.ReadFile(monitoring + "alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr         string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		rules = append(rules, g.Rules...)
	}
	return rules
}

// queries are the expressions of the dashboard by its panels' titles.
func queries(t *testing.T) map[string][]string {
	t.Helper()
	content, err := os.ReadFile(monitoring + "grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Query string }
		}
	}
	if err := json.Unmarshal(content, &board); err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	ids := map[int]bool{}
	places := map[[2]int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] || places[[2]int{p.GridPos.X, p.GridPos.Y}] || len(out[p.Title]) > 0 {
			t.Errorf("panel %d %q is not alone with its id, place or title", p.ID, p.Title)
		}
		ids[p.ID], places[[2]int{p.GridPos.X, p.GridPos.Y}] = true, true
		for _, target := range p.Targets {
			out[p.Title] = append(out[p.Title], target.Expr)
		}
		if len(out[p.Title]) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
	}
	for _, v := range board.Templating.List {
		out["variable "+v.Name] = []string{v.Query}
	}
	return out
}

// stages are what a change passes through, and what is measured of each.
var stages = map[string][]string{
	"call":         {"dvr_http_request_seconds_bucket", "dvr_http_requests_total"},
	"queue":        {"dvr_queued_requests", "dvr_queued_bytes", "dvr_requests_busy_total"},
	"batch":        {"dvr_append_seconds_bucket", "dvr_batch_commits_bucket", "dvr_batch_bytes_bucket"},
	"store":        {"dvr_store_bytes", "dvr_store_quota_bytes", "dvr_kv_bytes", "dvr_kv_quota_bytes", "dvr_no_space_total"},
	"fold":         {"dvr_folded_batches_total", "dvr_folded_bytes_total", "dvr_followed_batches_total", "dvr_folding"},
	"data plane":   {"dvr_dataplane_tables_waiting", "dvr_dataplane_ack_seconds_bucket", "dvr_dataplane_lag_revisions", "dvr_dataplane_failed_prefixes"},
	"verification": {"dvr_dataplane_digest_equal", "dvr_dataplane_digest_mismatches_total", "dvr_dataplane_reconciled_total", "dvr_dataplane_sink_repaired_total"},
}

// TestMonitoringNamesWhatIsServed: rules, dashboard and the operations guide ask
// for no metric that a node does not serve, and every stage is measured.
func TestMonitoringNamesWhatIsServed(t *testing.T) {
	a := newAPI(t)
	n := *a.node.status.Load()
	n.Archive = &ArchiveStatus{Directory: "/var/a"}
	a.node.status.Store(&n)
	p := a.connect("r1")
	p.SetSinks(&fibpb.SinkStatus{Name: "kernel", Entries: 1})
	a.must("POST", "/routes?wait=installed&timeout=10s", `{"destination":"10.1.0.0/16","next_hop":"192.0.2.1"}`)
	served := map[string]bool{}
	page := a.must("GET", "/metrics", "").Body
	for line := range strings.Lines(page) {
		if name, _, found := strings.Cut(strings.TrimPrefix(line, "# TYPE "), " "); found && strings.HasPrefix(line, "# TYPE ") {
			served[name] = true
			if strings.HasSuffix(line, " histogram\n") {
				served[name+"_bucket"], served[name+"_sum"], served[name+"_count"] = true, true, true
			}
		}
	}
	for name := range described { // some only where there is something to tell: TestMetricsOfADataPlane, of certificates, of an archive
		served["dvr_"+name] = true
	}
	// Of the etcd in a node's process, and of its log: TestMetricsOfTheEtcdInside there.
	for _, name := range []string{
		"etcd_disk_wal_fsync_duration_seconds", "etcd_disk_wal_fsync_duration_seconds_bucket", "etcd_disk_backend_commit_duration_seconds_bucket",
		"etcd_server_leader_changes_seen_total", "etcd_network_peer_round_trip_time_seconds_bucket", "dvr_log_lines_dropped_total",
	} {
		served[name] = true
	}
	name := regexp.MustCompile(`\b(dvr|process|go|etcd)_[a-z0-9_]+`)
	asked := 0
	check := func(where, expr string) {
		for _, m := range name.FindAllString(expr, -1) {
			asked++
			if !served[m] {
				t.Errorf("%s asks for %s, which is not served", where, m)
			}
		}
	}
	for _, r := range alertRules(t) {
		check(r.Alert, r.Expr)
	}
	for title, list := range queries(t) {
		for _, expr := range list {
			check(title, expr)
		}
	}
	guide, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, quoted := range regexp.MustCompile("`(dvr|etcd)_[^`]*`").FindAllString(string(guide), -1) {
		check("docs/operations.md", quoted)
	}
	for stage, names := range stages {
		for _, n := range names {
			if !served[n] {
				t.Errorf("of the %s there is no %s", stage, n)
			}
		}
	}
	if asked < 50 {
		t.Errorf("only %d metrics are asked for: the files were not understood", asked)
	}
}

// TestAlerts: each says what is wrong and what to do, and has a test of promtool's.
func TestAlerts(t *testing.T) {
	content, err := os.ReadFile(monitoring + "alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Tests []struct{ Name string } }
	if err := yaml.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	var tested, there []string
	for _, c := range file.Tests {
		tested = append(tested, c.Name)
	}
	for _, r := range alertRules(t) {
		there = append(there, r.Alert)
		if r.Annotations["summary"] == "" || r.Annotations["do"] == "" || !slices.Contains([]string{"warning", "critical"}, r.Labels["severity"]) {
			t.Errorf("%s: %v %v", r.Alert, r.Labels, r.Annotations)
		}
	}
	if !slices.Equal(there, tested) {
		t.Errorf("alerts %q\ntests %q", there, tested)
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("the alerts' own tests need promtool (Debian: prometheus)")
	}
	cmd := exec.CommandContext(t.Context(), promtool, "test", "rules", "alerts_test.yml")
	cmd.Dir, cmd.WaitDelay = monitoring, time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
