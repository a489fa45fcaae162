package main

import (
	"flag"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"
)

// serveEcho is the baseline of post: an echo handler that reads the same body
// and answers fixed JSON.
func serveEcho(args []string) error {
	flags := flag.NewFlagSet("echo-server", flag.ExitOnError)
	listen := flags.String("listen", "127.0.0.1:0", "address")
	_ = flags.Parse(args) // ExitOnError
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	answer := []byte(`{"destination":"10.1.0.0/16","status":"route added","revision":12}`)
	e.POST("/routes", func(c echo.Context) error {
		if _, err := io.Copy(io.Discard, c.Request().Body); err != nil {
			return err
		}
		return c.JSONBlob(http.StatusCreated, answer)
	})
	return e.Start(*listen)
}
