package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"dvr/cmd/internal/client"
)

// stray is a warning about a router that a route is given to and that nothing
// stands for, as one whose name was mistyped; empty: it is there, or nobody
// could say in reachTimeout, or the change is only previewed, which the node
// warns of itself. It is asked before the route makes the router known.
func (c *connection) stray(ctx context.Context, router string, m *mutation) string {
	if router == "" || router == "*" || m.dryRun {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, min(c.timeout, reachTimeout))
	defer cancel()
	get := func(path string) (body any, known bool) {
		_, err := c.call(ctx, client.Call{Method: http.MethodGet, Path: path}, &body)
		var p *client.Problem
		return body, err == nil || errors.As(err, &p) && p.Status == http.StatusNotFound
	}
	r, known := get("/v1/routers/" + url.PathEscape(router))
	if !known || member(r, "declared") == true || member(r, "dataplane") == true {
		return ""
	}
	body, known := get("/v1/links")
	if !known {
		return ""
	}
	for _, l := range list(body, "links") {
		if member(l, "a") == router || member(l, "b") == router {
			return ""
		}
	}
	return fmt.Sprintf("router %s is not declared, has no link and no data plane: is the name right? (`dvr router list`)", router)
}

// warn tells of what was done and may not be what was meant.
func (c *connection) warn(text string) {
	if text != "" {
		c.notice("warning: %s", text)
	}
}
