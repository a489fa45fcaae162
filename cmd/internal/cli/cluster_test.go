package cli

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// clusterOf runs `dvr cluster …` against a node that lists two members, and gives
// what it asked last, too.
func clusterOf(t *testing.T, args ...string) (out, asked string, err error) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = r.Method + " " + r.URL.EscapedPath() + " " + string(body)
		switch r.Method {
		case http.MethodGet:
			io.WriteString(w, `{"cluster_id":"c1","revision":7,"members":[
				{"node_id":"n1","member_id":"m1","role":"voter","leader":true,"online":true,"api":"h:1","raft":"h:2","fib":"h:3","client":"h:4","level":2},
				{"node_id":"n2","role":"observer","leader":false,"online":false,"api":"h:5","raft":"h:6","fib":"h:7","client":"h:8"}]}`)
		case http.MethodPost:
			io.WriteString(w, `{"cluster_id":"c1","member_id":"m9","initial_cluster":"n1=h:2,x=h:9"}`)
		default:
			io.WriteString(w, `{"node_id":"n2","status":"member removed","revision":7}`)
		}
	}))
	defer s.Close()
	var b bytes.Buffer
	root := Root(Streams{Out: &b, Err: &b})
	root.SetArgs(append([]string{"--endpoint", s.URL, "cluster"}, args...))
	err = root.Execute()
	return strings.ReplaceAll(b.String(), strings.TrimPrefix(s.URL, "http://"), "NODE"), asked, err
}

func TestClusterCommands(t *testing.T) {
	for _, test := range []struct {
		args, want, asked string
	}{
		{"members", "NODE  ROLE      LEADER  ONLINE  LEVEL  API  RAFT  DATA PLANES  ETCD  MEMBER\n" +
			"n1    voter     yes     yes     2      h:1  h:2   h:3          h:4   m1\n" +
			"n2    observer  no      no      -      h:5  h:6   h:7          h:8   -\n", "GET /v1/cluster/members "},
		{"status", "cluster_id  c1\nleader      n1\nvoters      1, of which 1 answer; 1 are needed\nmay lose    0\nlearners    0\nobservers   1\naway        n2\nrevision    7\n", "GET /v1/cluster/members "},
		{"remove n2", "node id   n2\nstatus    member removed\nrevision  7\n", "DELETE /v1/cluster/members/n2 "},
		{"add x --raft h:9", "cluster_id       c1\nmember_id        m9\ninitial_cluster  n1=h:2,x=h:9\nstart it with    NODE_ID=x RAFT_ADDR=h:9 JOIN=NODE dvr node\n",
			`POST /v1/cluster/members {"node_id":"x","raft":"h:9","api":"","fib":"","client":""}`},
	} {
		out, asked, err := clusterOf(t, strings.Fields(test.args)...)
		if err != nil || out != test.want || asked != test.asked {
			t.Errorf("cluster %s: %v, asked %s\n%s\nwant\n%s", test.args, err, asked, out, test.want)
		}
	}
	for args, want := range map[string]string{"add x": "--raft is needed", "add x --observer": "--api is needed"} {
		if _, asked, err := clusterOf(t, strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) || asked != "" {
			t.Errorf("cluster %s: %v, asked %q", args, err, asked)
		}
	}
}

// TestAPromotionInDoubt: a node that votes when the call is repeated was promoted
// by the attempt whose answer was lost. Without such an attempt, and of a node
// that still learns, the refusal stands.
func TestAPromotionInDoubt(t *testing.T) {
	for _, test := range []struct {
		name, role string
		lost       bool
		want       string // of the output; empty: the refusal
	}{
		{"made", "voter", true, "node id   n2\nstatus    member promoted\nrevision  7\n"},
		{"not made", "learner", true, ""},
		{"no doubt", "voter", false, ""},
	} {
		lost := test.lost
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodGet:
				io.WriteString(w, `{"revision":7,"members":[{"node_id":"n1","role":"voter"},{"node_id":"n2","member_id":"m2","role":"`+test.role+`"}]}`)
			case lost:
				lost = false
				w.WriteHeader(http.StatusGatewayTimeout)
			default:
				w.WriteHeader(http.StatusConflict)
				io.WriteString(w, `{"type":"/problems/role","title":"Not in this role","status":409,"detail":"n2 votes already"}`)
			}
		}))
		var b bytes.Buffer
		root := Root(Streams{Out: &b, Err: io.Discard})
		root.SetArgs([]string{"--endpoint", s.URL, "cluster", "promote", "n2"})
		err := root.Execute()
		s.Close()
		if test.want != "" && (err != nil || b.String() != test.want) {
			t.Errorf("%s: %v\n%s", test.name, err, b.String())
		}
		if test.want == "" && (err == nil || !strings.Contains(err.Error(), "votes already")) {
			t.Errorf("%s: %v\n%s", test.name, err, b.String())
		}
	}
}
