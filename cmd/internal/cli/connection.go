package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dvr/cmd/internal/client"
	"dvr/controller/certs"
	"dvr/controller/settings"
)

// connection is what every verb that talks to a cluster shares: the flags that
// say where and as whom, and the output format.
type connection struct {
	endpoints []string
	actor     string
	token     string // itself
	tokenFile string // or where it is
	timeout   time.Duration
	patient   *pflag.Flag // of timeout: whoever gives it waits as long also where nothing listens
	output    string
	out       io.Writer
	errOut    io.Writer
	in        io.Reader
	at        string      // of the commands that can be about the past
	terminal  bool        // errOut is a terminal: progress may be drawn
	files     certs.Files // whom to trust, and what is shown; empty: clear text
	width     int         // of out, where that is a terminal; else 0
}

// bind adds the shared flags to cmd and its children, and gives their names.
func (c *connection) bind(cmd *cobra.Command) (names []string) {
	endpoints := []string{"127.0.0.1:9090"}
	if env := os.Getenv("DVR_ENDPOINTS"); env != "" {
		endpoints = strings.Split(env, ",")
	}
	f := cmd.PersistentFlags()
	f.StringSliceVar(&c.endpoints, "endpoint", endpoints, "API address of a node, repeatable; the next one is asked when one fails (DVR_ENDPOINTS)")
	f.StringVar(&c.actor, "actor", os.Getenv("DVR_ACTOR"), "who makes the change, as kept in the log (DVR_ACTOR)")
	f.StringVar(&c.token, "token", os.Getenv("DVR_TOKEN"), "who you are: a token or JWT; others on this machine can see it here, so rather by DVR_TOKEN or a file")
	f.Lookup("token").DefValue = "" // help shows no secret
	f.StringVar(&c.tokenFile, "token-file", os.Getenv("DVR_TOKEN_FILE"), "file that holds it, readable by you alone (DVR_TOKEN_FILE; else, for loopback and TLS, dvr/token in your configuration directory)")
	f.DurationVar(&c.timeout, "timeout", 30*time.Second, "give up after this time; unless it is given, after two seconds where nothing listens at any endpoint")
	c.patient = f.Lookup("timeout")
	f.StringVarP(&c.output, "output", "o", "table", "table, json or yaml; a table on a terminal is cut to its width, through a pipe it is whole")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	f.StringVar(&c.files.CA, "cacert", os.Getenv("DVR_CA_FILE"), "certificate of the authority that issued the nodes'; with it nodes are called in TLS (DVR_CA_FILE)")
	f.StringVar(&c.files.Cert, "cert", os.Getenv("DVR_CERT_FILE"), "the operator's certificate (DVR_CERT_FILE)")
	f.StringVar(&c.files.Key, "key", os.Getenv("DVR_KEY_FILE"), "its private key (DVR_KEY_FILE)")
	f.StringVar(&c.files.CRL, "crl", os.Getenv("DVR_CRL_FILE"), "certificates that were revoked (DVR_CRL_FILE)")
	return []string{"endpoint", "actor", "token", "token-file", "timeout", "output", "cacert", "cert", "key", "crl"}
}

func (c *connection) checkOutput() error {
	switch c.output {
	case "table", "json", "yaml":
		return nil
	}
	return usageError{fmt.Errorf("--output %q: want table, json or yaml", c.output)}
}

// startingTime is how long nodes at none of which anything listens are waited for.
const startingTime = 2 * time.Second

func (c *connection) open() (*client.Client, error) {
	if err := c.checkOutput(); err != nil {
		return nil, err
	}
	if err := settings.CheckNames(os.Environ()); err != nil {
		return nil, usageError{err}
	}
	cl, err := c.client(c.endpoints, c.actor)
	if err != nil {
		return nil, err
	}
	if !c.patient.Changed {
		cl.Patience = startingTime
	}
	cl.Waiting = func(why error, until time.Time) {
		end := ""
		if !until.IsZero() {
			end = " until " + until.Format("15:04:05")
		}
		c.notice("%s; trying again%s", why, end)
	}
	return cl, nil
}

// client is one of the nodes at endpoints, with the credentials of the flags.
func (c *connection) client(endpoints []string, actor string) (*client.Client, error) {
	credentials, err := c.credentials()
	if err != nil {
		return nil, err
	}
	cl, err := client.NewSecure(endpoints, actor, credentials)
	if err != nil {
		return nil, usageError{err}
	}
	if cl.Token, err = c.credential(); err != nil {
		return nil, err
	}
	return cl, nil
}

// credentials are those of the flags; nil where there are none.
func (c *connection) credentials() (*certs.Credentials, error) {
	if c.files.None() {
		return nil, nil
	}
	credentials, err := certs.Load(c.files, nil)
	if err != nil {
		return nil, usageError{fmt.Errorf("--cacert, --cert, --key: %w", err)}
	}
	return credentials, nil
}

// answerTime is what a node gets beyond the timeout it was told, to say what
// has come of the change by then.
const answerTime = 2 * time.Second

// deadline bounds a call: where the node knows the timeout, it answers first.
func (c *connection) deadline(call client.Call) time.Duration {
	if call.Query.Has("timeout") {
		return c.timeout + answerTime
	}
	return c.timeout
}

// call does one call within the timeout and decodes its answer into out.
func (c *connection) call(ctx context.Context, call client.Call, out any) (*client.Answer, error) {
	cl, err := c.open()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.deadline(call))
	defer cancel()
	if changes(&call) && call.IdempotencyKey == "" {
		call.IdempotencyKey = client.NewKey() // which is told where nobody answers
	}
	answer, err := cl.Do(ctx, call, out)
	if err = c.advise(err); changes(&call) && errors.Is(err, client.ErrUnreachable) && !client.Unsent(err) {
		err = fmt.Errorf("%w\nWhether it was done is not known. Repeat it safely with --idempotency-key %s", err, call.IdempotencyKey)
	}
	return answer, err
}

// changes: the call is that of a mutation, and would be stored.
func changes(call *client.Call) bool {
	return call.Method != http.MethodGet && call.Query.Has("timeout") && call.Query.Get("dry_run") != "true"
}

// advise adds to an error that no node answered what may help.
func (c *connection) advise(err error) error {
	if !errors.Is(err, client.ErrUnreachable) {
		return err
	}
	if errors.Is(err, client.ErrOtherService) {
		return err
	}
	if advice := c.distrust(err); advice != "" {
		return fmt.Errorf("%w\n%s", err, advice)
	}
	if !client.Unsent(err) {
		return fmt.Errorf("%w\nA node was reached and did not answer: it is slow, or was stopped. --timeout waits longer than %s.", err, c.timeout)
	}
	return fmt.Errorf("%w\nIs a node running at %s? If it is elsewhere, say where: --endpoint HOST:PORT, or for all\n"+
		"commands: export DVR_ENDPOINTS=HOST:PORT[,HOST:PORT...]", err, strings.Join(c.endpoints, ", "))
}

// show does one call and prints the answer: as it came for json, converted for
// yaml, by table otherwise.
func (c *connection) show(ctx context.Context, call client.Call, table func(w *table, body any)) error {
	_, err := c.shown(ctx, call, table)
	return err
}

// showItem is show for what can be changed under the condition that it is still
// the same: the table ends with what --if-match wants.
func (c *connection) showItem(ctx context.Context, call client.Call, table func(w *table, body any)) error {
	answer, err := c.shown(ctx, call, table)
	if err != nil || c.output != "table" {
		return err
	}
	if tag := answer.Header.Get("ETag"); tag != "" {
		_, err = fmt.Fprintf(c.out, "(--if-match %s changes it only as it is)\n", strings.Trim(tag, `"`))
	}
	return err
}

func (c *connection) shown(ctx context.Context, call client.Call, table func(w *table, body any)) (*client.Answer, error) {
	var body any
	answer, err := c.call(ctx, call, &body)
	if err != nil {
		return nil, err
	}
	if member(body, "stale") == true {
		c.notice("there is no quorum: newer changes may exist")
	}
	return answer, c.print(answer.Body, body, table)
}

// mutation is the flags that changes take.
type mutation struct {
	wait, require, key, reason, ifMatch string

	dryRun, force, propose              bool
	confirmWithin, notBefore, expiresIn string
}

// bindFixed adds the flags of a change that is done now and for good.
func (m *mutation) bindFixed(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&m.wait, "wait", "", "answer when logged, projected (default) or installed")
	f.StringVar(&m.require, "require", "", "routers that must have installed it, comma-separated")
	f.StringVar(&m.key, "idempotency-key", "", "repeat a change safely under the same key")
	f.StringVar(&m.reason, "reason", "", "why, as kept in the log")
	f.BoolVar(&m.dryRun, "dry-run", false, "show what would change, in intent and in every router's table, and store nothing")
	f.BoolVar(&m.force, "force", false, "pass guard rails and freezes (needs --reason)")
}

// bind adds those of every other change.
func (m *mutation) bind(cmd *cobra.Command) {
	m.bindFixed(cmd)
	f := cmd.Flags()
	f.StringVar(&m.ifMatch, "if-match", "", "only if the item still has this ETag")
	f.StringVar(&m.confirmWithin, "confirm-within", "", "undo it after this time, such as 60s, unless dvr confirm came")
	f.StringVar(&m.notBefore, "not-before", "", "do it at this time (RFC 3339), or after this time, such as 8h")
	f.BoolVar(&m.propose, "propose", false, "store it as a proposal, which another actor approves (dvr approve)")
	f.StringVar(&m.expiresIn, "expires-in", "", "take back what it sets after this time")
}

// call completes a mutating call with the flags.
func (m *mutation) call(method, path string, query url.Values, body []byte, timeout time.Duration) client.Call {
	if query == nil {
		query = url.Values{}
	}
	set := func(k, v string) {
		if v != "" {
			query.Set(k, v)
		}
	}
	set("wait", m.wait)
	set("require", m.require)
	set("reason", m.reason)
	set("timeout", timeout.String())
	set("confirm_within", m.confirmWithin)
	set("not_before", m.notBefore)
	set("expires_in", m.expiresIn)
	if m.dryRun {
		query.Set("dry_run", "true")
	}
	if m.propose {
		query.Set("propose", "true")
	}
	if m.force {
		query.Set("force", "true")
	}
	call := client.Call{Method: method, Path: path, Query: query, Body: body, IdempotencyKey: m.key, Header: map[string][]string{}}
	if m.ifMatch != "" {
		tag := m.ifMatch
		if tag != "*" && !strings.HasPrefix(tag, `"`) {
			tag = `"` + tag + `"` // shells eat the quotes that the API gives
		}
		call.Header.Set("If-Match", tag)
	}
	return call
}
