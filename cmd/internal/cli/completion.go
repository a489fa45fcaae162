package cli

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dvr/cmd/internal/client"
)

// completionTime is what a node gets to answer while somebody waits at the prompt.
const completionTime = time.Second

// completionMost bounds what is asked for and offered.
const completionMost = 200

// completer offers what an argument or flag may be; begun is what is typed.
type completer func(ctx context.Context, c *connection, begun string) []string

// argumentCompleters are by the word for the argument in a command's Use.
var argumentCompleters = map[string]completer{
	"ROUTER": completeRouters, "A": completeRouters, "NODE": completeNodes,
	"DESTINATION": completePrefixes, "KEY": completeKeys,
}

// nameCompleters are of NAME, by the group of the command.
var nameCompleters = map[string]completer{
	"guard": completeNames("/v1/guards", "guards"), "freeze": completeNames("/v1/freezes", "freezes"), "timer": completeNames("/v1/timers", "timers"),
}

// flagCompleters are by the flag's name.
var flagCompleters = map[string]completer{
	"router": completeRouters, "require": listed(completeRouters), "within": completePrefixes,
	"wait": fixed("logged", "projected", "installed"), "type": fixed("unicast", "blackhole", "unreachable", "prohibit"),
	"drained": fixed("soft", "hard"), "source": fixed("controller", "dataplane"),
	"kinds": listed(fixed("commits", "routes", "topology", "kv", "fib", "dataplanes", "nodes")),
}

// complete gives a command, and those below it, completion of arguments and flags.
func (c *connection) complete(cmd *cobra.Command) {
	if words := strings.Fields(cmd.Use)[1:]; !cmd.HasSubCommands() && cmd.ValidArgsFunction == nil && !slices.ContainsFunc(words, takesFile) {
		cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			return c.offer(cmd, argumentCompleter(cmd, words, args), begun)
		}
	}
	for name, with := range flagCompleters {
		if cmd.LocalNonPersistentFlags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
				return c.offer(cmd, with, begun)
			})
		}
	}
	for _, child := range cmd.Commands() {
		c.complete(child)
	}
}

// takesFile: the shell completes names of files by itself.
func takesFile(word string) bool {
	return strings.Contains(word, "FILE") || strings.Contains(word, "COMMAND")
}

// argumentCompleter is that of the argument behind args; nil: there is none to
// offer.
func argumentCompleter(cmd *cobra.Command, words, args []string) completer {
	if len(args) >= len(words) {
		return nil
	}
	word := strings.Trim(words[len(args)], "[]…")
	switch {
	case word == "B" && cmd.Name() == "set": // a link that need not be there yet
		return except(args[0], completeRouters)
	case word == "B":
		return completeNeighbours(args[0])
	case strings.Contains(word, "|"):
		return fixed(strings.Split(word, "|")...)
	case word == "NAME":
		return nameCompleters[cmd.Parent().Name()]
	}
	return argumentCompleters[word]
}

// offer asks, within the time, and says nothing of what goes wrong: there is
// nowhere to say it.
func (c *connection) offer(cmd *cobra.Command, with completer, begun string) ([]string, cobra.ShellCompDirective) {
	if with == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	var out []string
	for _, each := range with(ctx, c, begun) {
		if strings.HasPrefix(each, begun) && len(out) < completionMost {
			out = append(out, each)
		}
	}
	directive := cobra.ShellCompDirectiveNoFileComp
	if len(out) == 1 && strings.HasSuffix(out[0], "/") && !strings.Contains(out[0], ".") { // a part of a key
		directive |= cobra.ShellCompDirectiveNoSpace
	}
	return out, directive
}

func fixed(values ...string) completer {
	return func(context.Context, *connection, string) []string { return values }
}

// listed completes the last of several with commas.
func listed(one completer) completer {
	return func(ctx context.Context, c *connection, begun string) []string {
		before := begun[:strings.LastIndexByte(begun, ',')+1]
		var out []string
		for _, each := range one(ctx, c, begun[len(before):]) {
			out = append(out, before+each)
		}
		return out
	}
}

// get asks for an object; nil: nobody answered in time.
func (c *connection) get(ctx context.Context, path string, query url.Values) any {
	cl, err := c.client(c.endpoints, "")
	if err != nil {
		return nil
	}
	var body any
	if _, err := cl.Do(ctx, client.Call{Method: http.MethodGet, Path: path, Query: query}, &body); err != nil {
		return nil
	}
	return body
}

// texts are a member of each element of a list, in order, each once.
func texts(body any, list_, name string) []string {
	var out []string
	for _, e := range list(body, list_) {
		if s, ok := member(e, name).(string); ok {
			out = append(out, s)
		}
	}
	return slices.Compact(out)
}

func completeRouters(ctx context.Context, c *connection, _ string) []string {
	return texts(c.get(ctx, "/v1/routers", nil), "routers", "router")
}

// except offers all but one.
func except(one string, of completer) completer {
	return func(ctx context.Context, c *connection, begun string) []string {
		return slices.DeleteFunc(of(ctx, c, begun), func(name string) bool { return name == one })
	}
}

// completeNeighbours offers the routers at the other ends of a router's links.
func completeNeighbours(router string) completer {
	return func(ctx context.Context, c *connection, _ string) []string {
		var out []string
		for _, l := range list(c.get(ctx, "/v1/links", nil), "links") {
			a, b := text(member(l, "a")), text(member(l, "b"))
			switch router {
			case a:
				out = append(out, b)
			case b:
				out = append(out, a)
			}
		}
		slices.Sort(out)
		return slices.Compact(out) // parallel links
	}
}

func completeNodes(ctx context.Context, c *connection, _ string) []string {
	return texts(c.get(ctx, "/v1/cluster/members", nil), "members", "node_id")
}

func completeNames(path, key string) completer {
	return func(ctx context.Context, c *connection, _ string) []string {
		var out []string
		for _, e := range list(c.get(ctx, path, nil), key) {
			if s, ok := member(member(e, "event"), "name").(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
}

// completeKeys offers keys, and only up to the next slash where there are many.
func completeKeys(ctx context.Context, c *connection, begun string) []string {
	keys, _ := c.get(ctx, "/kv", url.Values{"prefix": {begun}, "limit": {"1000"}}).(map[string]any)
	if len(keys) <= completionMost {
		return sortedKeys(keys)
	}
	parts := map[string]any{}
	for k := range keys {
		if at := strings.IndexByte(k[len(begun):], '/'); at >= 0 {
			k = k[:len(begun)+at+1]
		}
		parts[k] = nil
	}
	return sortedKeys(parts)
}

// completePrefixes offers destinations that are there: those inside what is
// typed of the address, and the shorter ones that begin with the same text.
func completePrefixes(ctx context.Context, c *connection, begun string) []string {
	inside, ok := around(begun)
	query := url.Values{"limit": {"10000"}}
	if !ok {
		return texts(c.get(ctx, "/v1/routes", query), "routes", "destination")
	}
	out := texts(c.get(ctx, "/v1/routes", url.Values{"limit": {"100"}, "covering": {inside.Addr().String()}}), "routes", "destination")
	query.Set("within", inside.String())
	out = append(out, texts(c.get(ctx, "/v1/routes", query), "routes", "destination")...)
	slices.Sort(out)
	return slices.Compact(out)
}

// around is the prefix of the octets or groups that are typed whole.
func around(begun string) (netip.Prefix, bool) {
	if address, _, found := strings.Cut(begun, "/"); found { // the length is typed
		a, err := netip.ParseAddr(address)
		if err != nil {
			return netip.Prefix{}, false
		}
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	separator, rest, bits := ".", ".0", 8
	if strings.Contains(begun, ":") {
		separator, rest, bits = ":", "", 16
	}
	at := strings.LastIndex(begun, separator)
	if at <= 0 || strings.Contains(begun, "::") {
		return netip.Prefix{}, false
	}
	n := strings.Count(begun[:at], separator) + 1
	text := begun[:at] + strings.Repeat(rest, max(0, 4-n))
	if separator == ":" {
		text += "::"
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, n*bits), n*bits <= a.BitLen()
}
