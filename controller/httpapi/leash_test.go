package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// soon is how long what is to happen within seconds may take on a busy machine.
const soon = 30 * time.Second

// lastsAs begins a call as the holder of a token and gives its answer.
func lastsAs(t *testing.T, url, credential string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/x-ndjson, */*")
	name, value, _ := strings.Cut(credential, ": ")
	r.Header.Set(name, value)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s: %d %s", url, resp.StatusCode, text)
	}
	return resp
}

// TestWatchesEndWithTheirRight: a watch ends within seconds of what takes the
// right to it, whichever that is, and no other watch does.
func TestWatchesEndWithTheirRight(t *testing.T) {
	a, k := enforced(t)
	srv := httptest.NewServer(a.server.Handler())
	t.Cleanup(srv.Close)
	t.Cleanup(a.server.EndWatches)
	id := func(actor string) string { return strings.Split(k[actor], "_")[1] }
	for _, c := range []struct{ what, who, path, event string }{
		{"its token is revoked", "vera", "/v1/watch?kinds=commits,routes", `{"kind":"token.removed","id":"` + id("vera") + `"}`},
		{"its role is taken", "ned", "/v1/kv/watch", `{"kind":"role.removed","actor":"ned"}`},
	} {
		ended := make(chan error, 1)
		resp := lastsAs(t, srv.URL+c.path, k.as(c.who))
		stays := lastsAs(t, srv.URL+c.path, k.as("oscar"))
		go func() {
			_, err := io.Copy(io.Discard, resp.Body)
			ended <- err
		}()
		a.must("POST", "/v1/commits", `{"events":[`+c.event+`]}`, k.as("root"))
		begun := time.Now()
		select {
		case <-ended:
			t.Logf("%s: ended after %s", c.what, time.Since(begun).Round(time.Millisecond))
		case <-time.After(soon):
			t.Errorf("%s: the watch goes on", c.what)
		}
		a.must("PUT", "/kv/mark", fmt.Sprintf(`{"value":%q}`, c.who), k.as("root"))
		a.must("POST", "/v1/commits", `{"events":[{"kind":"router.set","router":"mark-`+c.who+`"}]}`, k.as("root"))
		in := bufio.NewScanner(stays.Body)
		for in.Scan() && !strings.Contains(in.Text(), "event: ") {
		}
		if in.Err() != nil || in.Text() == "" {
			t.Errorf("%s: another's watch ended, too: %v", c.what, in.Err())
		}
	}
}

// revoker is a reader's side of an answer: with its first bytes the right to it
// is taken.
type revoker struct {
	*httptest.ResponseRecorder
	revoke func()
}

func (r *revoker) Write(p []byte) (int, error) {
	n, err := r.ResponseRecorder.Write(p)
	if r.revoke != nil {
		r.revoke()
		r.revoke = nil
	}
	return n, err
}

// TestAnswersEndWithTheirRight: a dump of the table or a backup that is under way
// when the right to it is taken is cut, and never ends as if it were whole.
func TestAnswersEndWithTheirRight(t *testing.T) {
	for _, c := range []struct{ who, path, event string }{
		{"vera", "/v1/routes", `{"kind":"role.removed","actor":"vera"}`},
		{"root", "/v1/backup", `{"kind":"role.set","actor":"root","grants":[{"role":"viewer"}]}`},
	} {
		a, k := enforced(t)
		a.must("POST", "/v1/commits", `{"events":[{"kind":"role.set","actor":"oscar","grants":[{"role":"admin"}]}]}`, k.as("root"))
		if r := a.do("POST", "/v1/routes/import", manyRoutes(20000), k.as("root"), "Content-Type: application/x-ndjson"); r.Code != 200 {
			t.Fatalf("%d %s", r.Code, r.Body)
		}
		get := func(w http.ResponseWriter) (cut bool) {
			r := httptest.NewRequest(http.MethodGet, c.path, nil)
			r.Host = "127.0.0.1:9090"
			r.Header.Set("Accept", "application/x-ndjson, */*")
			_, token, _ := strings.Cut(k.as(c.who), ": ")
			r.Header.Set("Authorization", token)
			defer func() { cut = recover() == http.ErrAbortHandler }()
			a.server.Handler().ServeHTTP(w, r)
			return false
		}
		whole := httptest.NewRecorder()
		if get(whole) || whole.Code != 200 {
			t.Fatalf("%s: %d %s", c.path, whole.Code, whole.Body)
		}
		part := &revoker{ResponseRecorder: httptest.NewRecorder(), revoke: func() {
			a.must("POST", "/v1/commits", `{"events":[`+c.event+`]}`, k.as("oscar"))
		}}
		if cut := get(part); !cut || part.Body.Len() >= whole.Body.Len() {
			t.Errorf("%s: cut %t, %d of %d bytes", c.path, cut, part.Body.Len(), whole.Body.Len())
		}
	}
}

// TestLeash: what it goes by, with time.
func TestLeash(t *testing.T) {
	a, k := enforced(t)
	token, event := tokenEvent("vera", fmt.Sprintf(`,"expires":%q`, time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000Z")))
	a.must("POST", "/v1/commits", `{"events":[`+event+`]}`, k.as("root"))
	now := time.Now()
	a.server.auth.Now = func() time.Time { return now }
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header[callerHeader] = []string{"vera", token}
	viewer, admin := a.server.leash(r, reads), a.server.leash(r, administers)
	later := now.Add(2 * readmitEvery)
	if !viewer.holds(now) || !viewer.holds(later) || !admin.holds(now) || admin.holds(later) {
		t.Error("who may read is told wrongly")
	}
	now = now.Add(2 * time.Hour)
	if !viewer.holds(later) {
		t.Error("asked again at once")
	}
	if viewer.holds(later.Add(readmitEvery)) {
		t.Error("an expired token reads on")
	}
	nobody := a.server.leash(httptest.NewRequest(http.MethodGet, "/", nil), reads)
	if nobody.holds(later.Add(readmitEvery)) {
		t.Error("who came before authorization was in force reads on")
	}
	a.server.auth.Now = time.Now
	a.must("POST", "/v1/commits", `{"events":[{"kind":"auth.disabled"}]}`, k.as("root"))
	if !nobody.holds(later) || !viewer.holds(later) {
		t.Error("without authorization somebody is refused")
	}
}
