package cli

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
	"dvr/controller/auth"
)

// accessPath is where roles and tokens are told.
const accessPath = "/v1/auth"

func whoAmICommand(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Who you are to the cluster, and what you may do", Args: cobra.NoArgs,
		Example: "  dvr whoami\n  dvr whoami --token-file ~/ops.token -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/whoami"}, func(t *table, body any) {
				if member(body, "authorization") != true {
					t.line("Authorization is off: whoever reaches the API may do everything (`dvr auth init` turns it on).")
					return
				}
				if member(body, "actor") == nil {
					t.line("Authorization is on, and you have not said who you are: --token-file, DVR_TOKEN or %s.", tokenPath())
					return
				}
				t.head("ACTOR", "ROLE", "VIA", "MAY")
				t.row(member(body, "actor"), member(body, "role"), member(body, "via"), grantsText(list(body, "grants")))
			})
		},
	}
}

// grantsText is what grants allow, in words.
func grantsText(grants []any) string {
	var out []string
	for _, g := range grants {
		text_ := text(member(g, "role"))
		for _, scope := range []string{"prefixes", "routers", "tags", "keys"} {
			if v := member(g, scope); v != nil {
				text_ += " " + scope + "=" + strings.ReplaceAll(text(v), ", ", ",")
			}
		}
		out = append(out, text_)
	}
	return strings.Join(out, "; ")
}

func authCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "auth", Short: "Who may do what: roles, tokens, and what was refused", Args: cobra.NoArgs}
	token := &cobra.Command{Use: "token", Short: "Make, list and revoke tokens", Args: cobra.NoArgs}
	token.AddCommand(tokenCreate(c), tokenList(c), tokenRevoke(c))
	role := &cobra.Command{Use: "role", Short: "Give and take roles", Args: cobra.NoArgs}
	role.AddCommand(roleGrant(c), roleRevoke(c), roleList(c))
	cmd.AddCommand(authInit(c), authDisable(c), authRecover(c), token, role, joinToken(c), refusalsCommand(c))
	return cmd
}

// commitEvents stores events as one commit.
func (c *connection) commitEvents(cmd *cobra.Command, reason string, events ...map[string]any) error {
	return c.postEvents(cmd, url.Values{}, reason, nil, events)
}

// forceEvents stores them though a guard rail stands against it; a reason is needed.
func (c *connection) forceEvents(cmd *cobra.Command, reason string, events ...map[string]any) error {
	return c.postEvents(cmd, url.Values{"force": {"true"}}, reason, nil, events)
}

// proposeEvents stores them as a proposal, and gives its name.
func (c *connection) proposeEvents(cmd *cobra.Command, reason string, events ...map[string]any) (name string, err error) {
	var stored struct{ Timer string }
	err = c.postEvents(cmd, url.Values{"propose": {"true"}}, reason, &stored, events)
	return stored.Timer, err
}

func (c *connection) postEvents(cmd *cobra.Command, query url.Values, reason string, out any, events []map[string]any) error {
	o := map[string]any{"events": events}
	if reason != "" {
		o["reason"] = reason
	}
	raw, err := json.Marshal(o)
	if err != nil {
		return err
	}
	query.Set("timeout", c.timeout.String())
	_, err = c.call(cmd.Context(), client.Call{Method: http.MethodPost, Path: "/v1/commits", Query: query, Body: raw}, out)
	return err
}

// access is what the cluster says of roles and tokens.
func (c *connection) access(cmd *cobra.Command) (any, error) {
	var body any
	_, err := c.call(cmd.Context(), client.Call{Method: http.MethodGet, Path: accessPath}, &body)
	return body, err
}

// eventTime is t as events have it.
func eventTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// tokenEvent is token.set of a new token.
func tokenEvent(actor string, lasts time.Duration, join bool) (text, id string, event map[string]any) {
	text, id, hash := auth.NewToken()
	event = map[string]any{"kind": "token.set", "id": id, "actor": actor, "sha256": hex.EncodeToString(hash[:])}
	if lasts > 0 {
		event["expires"] = eventTime(time.Now().Add(lasts))
	}
	if join {
		event["join"] = true
	}
	return text, id, event
}

// expiresIn is a flag's duration, in days too; empty: 0.
func expiresIn(v string) (time.Duration, error) {
	if v == "" {
		return 0, nil
	}
	if days, ok := strings.CutSuffix(v, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n > 0 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 {
		return 0, usageError{fmt.Errorf("--expires-in %q: want a time such as 90d, 12h or 15m", v)}
	}
	return d, nil
}

// handOver prints a new token, or writes it to a file.
func (c *connection) handOver(path, token, id, actor string) error {
	if path == "" {
		c.notice("this is shown once; the cluster keeps its hash alone")
		_, err := fmt.Fprintln(c.out, token)
		return err
	}
	_, err := fmt.Fprintf(c.out, "token %s of %s is in %s\n", id, actor, path)
	return err
}

// issue stores a new token with the other events, and hands it over. A file is
// written first: a token that is in force and lost helps nobody.
func (c *connection) issue(cmd *cobra.Command, path, reason, actor string, lasts time.Duration, join bool, also ...map[string]any) error {
	token, id, event := tokenEvent(actor, lasts, join)
	if path != "" {
		if err := writeToken(path, token); err != nil {
			return fmt.Errorf("the token's file: %w", err)
		}
	}
	if err := c.commitEvents(cmd, reason, append([]map[string]any{event}, also...)...); err != nil {
		if path != "" {
			c.notice("%s holds a token that was not stored", path)
		}
		return err
	}
	return c.handOver(path, token, id, actor)
}

func authInit(c *connection) *cobra.Command {
	var write string
	cmd := &cobra.Command{
		Use: "init ACTOR", Short: "Turn authorization on, with the first admin and its token", Args: cobra.ExactArgs(1),
		Long: "Turn authorization on, in one commit: ACTOR becomes admin, its token is made, and from then on every call\n" +
			"but those of probes needs a token. With --write the token goes to a file that you alone can read; without a\n" +
			"path that is the one which dvr looks for.",
		Example: "  dvr auth init alice --write ~/.config/dvr/token\n  dvr auth init alice",
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := c.access(cmd)
			if err != nil {
				return err
			}
			if member(body, "enabled") == true {
				return errors.New("authorization is on already")
			}
			return c.issue(cmd, write, "authorization is turned on", args[0], 0, false,
				map[string]any{"kind": "role.set", "actor": args[0], "grants": []any{map[string]any{"role": "admin"}}}, map[string]any{"kind": "auth.enabled"})
		},
	}
	cmd.Flags().StringVar(&write, "write", "", "file for the token, readable by you alone, instead of the terminal")
	return cmd
}

func authDisable(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "disable", Short: "Turn authorization off; roles and tokens stay", Args: cobra.NoArgs,
		Example: "  dvr auth disable",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.commitEvents(cmd, "authorization is turned off", map[string]any{"kind": "auth.disabled"}); err != nil {
				return err
			}
			_, err := fmt.Fprintln(c.out, "authorization is off: whoever reaches the API may do everything")
			return err
		},
	}
}

func authRecover(c *connection) *cobra.Command {
	var dir, write string
	cmd := &cobra.Command{
		Use: "recover ACTOR", Short: "Make an admin where the last one's token is lost, on a node's machine", Args: cobra.ExactArgs(1),
		Long: "Make an admin where the last one's token is lost. It is asked of nobody: whoever can write into a node's data\n" +
			"directory can. Run it as the user that the node runs as, which has to read what this leaves. The node makes the\n" +
			"admin when it is started next; the log says so.",
		Example: "  dvr auth recover alice --data-dir ./data --write ~/.config/dvr/token",
		RunE: func(cmd *cobra.Command, args []string) error {
			token, id, err := auth.WriteRecovery(dir, args[0])
			if err != nil {
				return err
			}
			if write != "" {
				if err := writeToken(write, token); err != nil {
					return errors.Join(fmt.Errorf("the token's file: %w", err), auth.EndRecovery(dir))
				}
			}
			if err := c.handOver(write, token, id, args[0]); err != nil {
				return err
			}
			c.notice("start the node again; then it is in force")
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "data-dir", "", "the node's DATA_DIR")
	cmd.Flags().StringVar(&write, "write", "", "file for the token, readable by you alone, instead of the terminal")
	_ = cmd.MarkFlagRequired("data-dir")
	return cmd
}

func tokenCreate(c *connection) *cobra.Command {
	var expires, write, reason string
	cmd := &cobra.Command{
		Use: "create ACTOR", Short: "Make a token of an actor", Args: cobra.ExactArgs(1),
		Long:    "Make a token of an actor. It is made here and shown once; the cluster is sent its hash alone.",
		Example: "  dvr auth token create ci --expires-in 90d\n  dvr auth token create alice --write ~/alice.token",
		RunE: func(cmd *cobra.Command, args []string) error {
			lasts, err := expiresIn(expires)
			if err != nil {
				return err
			}
			return c.issue(cmd, write, reason, args[0], lasts, false)
		},
	}
	f := cmd.Flags()
	f.StringVar(&expires, "expires-in", "", "after this time it is void: 90d, 12h (default: never)")
	f.StringVar(&write, "write", "", "file for the token, readable by you alone, instead of the terminal")
	f.StringVar(&reason, "reason", "", "why, as kept in the log")
	return cmd
}

func tokenList(c *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "All tokens, without their secrets", Args: cobra.NoArgs,
		Example: "  dvr auth token list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: accessPath, Query: filters("at", c.at)}, func(t *table, body any) {
				t.head("ID", "ACTOR", "EXPIRES", "FOR", "REVISION")
				for _, k := range list(body, "tokens") {
					use := "the API"
					if member(k, "join") == true {
						use = "joining"
						if n := member(k, "node"); n != nil {
							use = "joining, used by " + text(n)
						}
					}
					t.row(member(k, "id"), member(k, "actor"), member(k, "expires"), use, member(k, "revision"))
				}
			})
		},
	}
	c.pastFlag(cmd)
	return cmd
}

func tokenRevoke(c *connection) *cobra.Command {
	var reason string
	var force bool
	cmd := &cobra.Command{
		Use: "revoke ID", Short: "Make a token void at once, on every node", Args: cobra.ExactArgs(1),
		Long: "Make a token void at once, on every node. The last token of an admin is refused to who has come by a token, since\n" +
			"nobody could get in and make another; --force with --reason does it all the same.",
		Example: "  dvr auth token revoke k7f3q2xw4mlne --reason 'lost laptop'",
		RunE: func(cmd *cobra.Command, args []string) error {
			id := args[0]
			if whole, _, ok := auth.ParseToken(id); ok {
				id = whole
			}
			body, err := c.access(cmd)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(list(body, "tokens"), func(k any) bool { return member(k, "id") == id }) {
				return fmt.Errorf("there is no token %s", id)
			}
			commit := c.commitEvents
			if force {
				commit = c.forceEvents
			}
			if err := commit(cmd, reason, map[string]any{"kind": "token.removed", "id": id}); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.out, "token %s is revoked\n", id)
			return err
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, as kept in the log")
	cmd.Flags().BoolVar(&force, "force", false, "also the last one of an admin (needs --reason)")
	return cmd
}

func joinToken(c *connection) *cobra.Command {
	var expires, write string
	cmd := &cobra.Command{
		Use: "join-token", Short: "Make a token that admits one node to the cluster", Args: cobra.NoArgs,
		Long:    "Make a token that admits one node to the cluster: JOIN_TOKEN of that node. The node that uses it first keeps it.",
		Example: "  dvr auth join-token\n  dvr auth join-token --expires-in 15m --write node-4.token",
		RunE: func(cmd *cobra.Command, _ []string) error {
			lasts, err := expiresIn(expires)
			if err != nil {
				return err
			}
			return c.issue(cmd, write, "for a node to join", "join", lasts, true)
		},
	}
	f := cmd.Flags()
	f.StringVar(&expires, "expires-in", "1h", "after this time it is void")
	f.StringVar(&write, "write", "", "file for the token, readable by you alone, instead of the terminal")
	return cmd
}

func roleList(c *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "Who has which roles, and where", Args: cobra.NoArgs,
		Example: "  dvr auth role list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: accessPath, Query: filters("at", c.at)}, func(t *table, body any) {
				t.head("ACTOR", "MAY", "REVISION")
				for _, r := range list(body, "roles") {
					t.row(member(r, "actor"), grantsText(list(r, "grants")), member(r, "revision"))
				}
			})
		},
	}
	c.pastFlag(cmd)
	return cmd
}

// grantsOf are those that an actor has, as the API tells them.
func grantsOf(body any, actor string) []any {
	for _, r := range list(body, "roles") {
		if member(r, "actor") == actor {
			return list(r, "grants")
		}
	}
	return nil
}

func roleGrant(c *connection) *cobra.Command {
	var prefixes, routers, tags, keys []string
	var reason string
	var propose bool
	cmd := &cobra.Command{
		Use: "grant ACTOR viewer|operator|admin", Short: "Give an actor a role, everywhere or in a scope", Args: cobra.ExactArgs(2),
		Long: "Give an actor a role beside those that it has: everywhere, or where all of the flags apply. ACTOR is that of\n" +
			"a token, oidc:NAME of the identity provider, or group:NAME for all who are in that group there.\n\n" +
			"While a guard needs_approval is there, another admin has to agree: --propose, then their `dvr approve`.\n" +
			"Who approves a role approves the tokens that the actor has (`dvr auth token list`).",
		Example: "  dvr auth role grant alice operator\n  dvr auth role grant group:net-ops operator --prefix 10.0.0.0/8 --router r1 --router r2\n  dvr auth role grant ci operator --key-prefix deploy/",
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains([]string{"viewer", "operator", "admin"}, args[1]) {
				return usageError{howTo(cmd, fmt.Errorf("%q is no role: want viewer, operator or admin", args[1]))}
			}
			body, err := c.access(cmd)
			if err != nil {
				return err
			}
			grant := map[string]any{"role": args[1]}
			for name, values := range map[string][]string{"prefixes": prefixes, "routers": routers, "tags": tags, "keys": keys} {
				if len(values) > 0 {
					slices.Sort(values)
					grant[name] = slices.Compact(values)
				}
			}
			if p, ok := grant["prefixes"]; ok {
				if grant["prefixes"], err = sortedPrefixes(p.([]string)); err != nil {
					return err
				}
			}
			grants := append(slices.Clone(grantsOf(body, args[0])), grant)
			event := map[string]any{"kind": "role.set", "actor": args[0], "grants": grants}
			if propose {
				name, err := c.proposeEvents(cmd, reason, event)
				if err == nil {
					_, err = fmt.Fprintf(c.out, "proposed: another admin's `dvr approve %s` does it\n", name)
				}
				return err
			}
			if err := c.commitEvents(cmd, reason, event); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.out, "%s may: %s\n", args[0], grantsText(roundTrip(grants)))
			return err
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&prefixes, "prefix", nil, "only destinations inside this prefix, repeatable")
	f.StringSliceVar(&routers, "router", nil, "only this router, its routes and the links between those named, repeatable")
	f.StringSliceVar(&tags, "tag", nil, "only what has this tag, repeatable")
	f.StringSliceVar(&keys, "key-prefix", nil, "keys that begin with this, repeatable")
	f.StringVar(&reason, "reason", "", "why, as kept in the log")
	f.BoolVar(&propose, "propose", false, "store it as a proposal, which another admin approves (dvr approve)")
	return cmd
}

func roleRevoke(c *connection) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "revoke ACTOR [ROLE]", Short: "Take an actor's roles, or one of them", Args: cobra.RangeArgs(1, 2),
		Example: "  dvr auth role revoke bob\n  dvr auth role revoke alice admin",
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := c.access(cmd)
			if err != nil {
				return err
			}
			has := grantsOf(body, args[0])
			left := slices.DeleteFunc(slices.Clone(has), func(g any) bool { return len(args) == 1 || member(g, "role") == args[1] })
			if len(left) == len(has) {
				return fmt.Errorf("%s has no such role", args[0])
			}
			event := map[string]any{"kind": "role.removed", "actor": args[0]}
			if len(left) > 0 {
				event = map[string]any{"kind": "role.set", "actor": args[0], "grants": left}
			}
			if err := c.commitEvents(cmd, reason, event); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.out, "%s may: %s\n", args[0], text(grantsText(left)))
			return err
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, as kept in the log")
	return cmd
}

func refusalsCommand(c *connection) *cobra.Command {
	var limit uint32
	cmd := &cobra.Command{
		Use: "audit", Short: "What a node refused lately, and whom", Args: cobra.NoArgs,
		Long: "What the node that is asked (--endpoint) refused, the newest first; what was done is in the log, with its\n" +
			"actor (dvr log list). Refusals that are alike are one line with their number. The node keeps more in\n" +
			"DATA_DIR/refusals.ndjson, of callers who were not authenticated in DATA_DIR/strangers.ndjson.",
		Example: "  dvr auth audit --endpoint 192.0.2.1 --limit 20",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			if limit > 0 {
				q.Set("limit", strconv.Itoa(int(limit)))
			}
			return c.show(cmd.Context(), client.Call{Method: http.MethodGet, Path: "/v1/audit", Query: q}, func(t *table, body any) {
				t.head("TIME", "ACTOR", "FROM", "CALL", "STATUS", "COUNT", "WHY")
				for _, r := range list(body, "refusals") {
					actor := text(member(r, "actor"))
					if member(r, "authenticated") != true {
						actor = "?"
					}
					t.row(member(r, "time"), actor, member(r, "source"), text(member(r, "method"))+" "+text(member(r, "path")), member(r, "status"), member(r, "count"), member(r, "detail"))
				}
			})
		},
	}
	numberVar(cmd.Flags(), &limit, "limit", 0, 1, 1024, "so many at most")
	return cmd
}

// roundTrip is v as the API would tell it.
func roundTrip(v any) []any {
	raw, _ := json.Marshal(v)
	var out []any
	_ = json.Unmarshal(raw, &out)
	return out
}
