package client

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestRefusalNamesTheChecksThatFail: /readyz answers in a form of its own.
func TestRefusalNamesTheChecksThatFail(t *testing.T) {
	for body, want := range map[string]string{
		`{"status":"not ready","checks":{"quorum":"no leader","caught_up":"ok","a":"not yet"}}`: "503 Service Unavailable from n; a: not yet; quorum: no leader",
		`{"status":"not ready","checks":{"quorum":"ok"}}`:                                       "503 Service Unavailable from n",
		`{"checks":7}`: "503 Service Unavailable from n",
		`<html>`:       "503 Service Unavailable from n",
		`{"title":"Starting","detail":"etcd starts","checks":{"quorum":"no"}}`: "etcd starts",
	} {
		err := refusal(&http.Response{StatusCode: 503, Body: io.NopCloser(strings.NewReader(body))}, "n", false)
		if p, ok := err.(*Problem); !ok || p.Detail != want || p.Status != 503 {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
}
