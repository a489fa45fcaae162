package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"dvr/controller/gate"
)

// admin is the listener for who runs the machine: Go's profiles, the level and the
// sampling of the logs. It is on loopback only, in clear text and asks nobody who he is.
type admin struct {
	*logging
	log      *zap.Logger
	listener net.Listener
	http     *http.Server
}

// newAdmin listens at the address, which settings.Load found to be loopback.
func newAdmin(address string, logs *logging, log *zap.Logger) (*admin, error) {
	l, err := listen("ADMIN_ADDR", address)
	if err != nil {
		return nil, err
	}
	if at, ok := l.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() { // a name may mean anything
		return nil, errors.Join(fmt.Errorf("ADMIN_ADDR: %s is %s, which is not loopback", address, l.Addr()), l.Close())
	}
	a := &admin{logging: logs, log: log, listener: l}
	a.http = &http.Server{
		Handler:           a.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          zap.NewStdLog(log.Named("admin")),
	}
	log.Info("profiles and the level of the logs", zap.String("admin", "http://"+l.Addr().String()))
	return a, nil
}

// serve answers until close.
func (a *admin) serve() error {
	if err := a.http.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// close cuts what is in progress: a profile may take minutes.
func (a *admin) close() error {
	return errors.Join(a.http.Close(), a.listener.Close()) // the second where it was not served yet
}

func (a *admin) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /log/level", func(w http.ResponseWriter, _ *http.Request) { a.tellLevel(w) })
	mux.HandleFunc("PUT /log/level", a.setLevel)
	mux.HandleFunc("GET /log/sample", func(w http.ResponseWriter, _ *http.Request) { a.tellSample(w) })
	mux.HandleFunc("PUT /log/sample", a.setSample)
	hosts := gate.NewHosts("ask at localhost")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := hosts.Admit(r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// levelBody is what /log/level takes and answers.
type levelBody struct {
	Level string `json:"level"`
}

func (a *admin) tellLevel(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(levelBody{a.level.String()})
}

// setLevel changes the least level that is logged, until the node ends.
func (a *admin) setLevel(w http.ResponseWriter, r *http.Request) {
	var body levelBody
	if !taken(w, r, &body, `{"level":"debug"}`) {
		return
	}
	to, err := logLevel(body.Level)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	from := a.level.Level()
	a.level.SetLevel(min(from, to)) // the change is told by whichever of the two tells more
	if from != to {
		a.log.Warn("the level of the logs is another until the node is started again", zap.Stringer("from", from), zap.Stringer("to", to))
	}
	a.level.SetLevel(to)
	a.tellLevel(w)
}

// taken reads the body of a change; false: it was refused, with what is wanted.
func taken(w http.ResponseWriter, r *http.Request, body any, want string) bool {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(10 * time.Second)) // a profile has none
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10))
	d.DisallowUnknownFields()
	if err := d.Decode(body); err != nil {
		http.Error(w, "want "+want+": "+err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

// sampleBody is what /log/sample takes and answers.
type sampleBody struct {
	First *int64 `json:"first"`
}

func (a *admin) tellSample(w http.ResponseWriter) {
	first := a.sample.first()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(sampleBody{&first})
}

// setSample changes how many lines of one kind are written, until the node ends.
func (a *admin) setSample(w http.ResponseWriter, r *http.Request) {
	const want = `{"first":10}, from 0 (all) to 1048576`
	var body sampleBody
	if !taken(w, r, &body, want) {
		return
	}
	if body.First == nil || *body.First < 0 || *body.First > samplingMost {
		http.Error(w, "first: want "+want, http.StatusBadRequest)
		return
	}
	if from := a.sample.first(); from != *body.First {
		a.sample.set(*body.First)
		a.log.Warn("the sampling of the logs is another until the node is started again", zap.Int64("from", from), zap.Int64("to", *body.First))
	}
	a.tellSample(w)
}

// logLevel reads a level that LOG_LEVEL may have.
func logLevel(v string) (zapcore.Level, error) {
	l, err := zapcore.ParseLevel(v)
	if err != nil || l < zapcore.DebugLevel || l > zapcore.ErrorLevel || v != l.String() {
		return 0, fmt.Errorf("%q is not one of debug, info, warn, error", v)
	}
	return l, nil
}
