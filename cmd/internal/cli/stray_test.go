package cli

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestStrayRouter: a route for a router that nothing stands for is stored, and
// its name is questioned on the error stream.
func TestStrayRouter(t *testing.T) {
	for _, test := range []struct {
		name, args, router, links string
		warned                    bool
	}{
		{"unknown", "--router vei", "", `[{"a":"vie","b":"fra"}]`, true},
		{"with routes alone", "--router vei", `{"router":"vei","declared":false,"dataplane":false}`, `[]`, true},
		{"dry run, which the node warns of", "--router vei --dry-run", "", `[]`, false},
		{"declared", "--router vei", `{"router":"vei","declared":true,"dataplane":false}`, `[]`, false},
		{"data plane", "--router vei", `{"router":"vei","declared":false,"dataplane":true}`, `[]`, false},
		{"linked", "--router vei", "", `[{"a":"vie","b":"fra"},{"a":"fra","b":"vei"}]`, false},
		{"links not told", "--router vei", "", ``, false},
		{"every router", "--router *", "", `[]`, false},
		{"none named", "", "", `[]`, false},
	} {
		for _, verb := range []string{"add", "set"} {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/v1/routers/vei" && test.router != "":
					io.WriteString(w, test.router)
				case r.URL.Path == "/v1/routers/vei":
					w.WriteHeader(http.StatusNotFound)
					io.WriteString(w, `{"title":"x","status":404}`)
				case r.URL.Path == "/v1/links" && test.links == "":
					w.WriteHeader(http.StatusInternalServerError)
				case r.URL.Path == "/v1/links":
					io.WriteString(w, `{"links":`+test.links+`}`)
				default:
					w.WriteHeader(http.StatusCreated)
					io.WriteString(w, `{"status":"stored","revision":4}`)
				}
			}))
			var out, errOut bytes.Buffer
			root := Root(Streams{Out: &out, Err: &errOut})
			root.SetArgs(append([]string{"--endpoint", s.URL, "--timeout", "5s", "route", verb, "10.1.0.0/16", "192.0.2.1"}, strings.Fields(test.args)...))
			err := root.Execute()
			s.Close()
			want := "dvr: warning: router vei is not declared, has no link and no data plane: is the name right?"
			if err != nil || strings.Contains(errOut.String(), want) != test.warned || strings.Contains(out.String(), "warning") {
				t.Errorf("%s of %s: %v\n%s%s", verb, test.name, err, out.String(), errOut.String())
			}
		}
	}
}
