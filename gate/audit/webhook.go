package audit

import (
	"bytes"
	"context"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// A Webhook is told of what a monitor finds, by POST of one JSON object. It
// follows no redirects, and reads little of an answer.
type Webhook struct {
	URL       string
	TokenFile string       // file of a bearer token; "" for none
	Client    *http.Client // nil: a plain one
}

// Bounds on a delivery. Tries wait 1, 2, 4 … seconds for each other.
const (
	hookTries   = 5
	hookTimeout = 10 * time.Second
)

// Post delivers v, and tries again where that may help: where nobody answered,
// or the answer was 408, 429 or 5xx.
func (w *Webhook) Post(ctx context.Context, v any) error {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return err
	}
	wait := time.Second
	for n := 1; ; n++ {
		again, err := w.once(ctx, body)
		switch {
		case err == nil:
			return nil
		case !again || n == hookTries || ctx.Err() != nil:
			return fmt.Errorf("webhook, try %d of %d: %w", n, hookTries, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait *= 2
	}
}

func (w *Webhook) once(ctx context.Context, body []byte) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	if w.TokenFile != "" {
		token, err := os.ReadFile(w.TokenFile)
		if err != nil {
			return false, err
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if w.Client != nil {
		c.Transport = w.Client.Transport
	}
	res, err := c.Do(req)
	if err != nil {
		return true, errors.Unwrap(err) // without the URL, which may hold a secret
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10) // so that the connection can be used again
	if res.StatusCode/100 == 2 {
		return false, nil
	}
	again = res.StatusCode/100 == 5 || res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusRequestTimeout
	return again, fmt.Errorf("it answered %s", res.Status)
}
