// Who the person is to the cluster: a token, kept for this tab alone and sent in a header, never in an address or a cookie.
class Credential {
  token = $state('');
  /** The cluster does not answer without another token; why. */
  wanted = $state('');
  /** The form for it is shown. */
  asking = $state(false);
  /** Told of each new token; the event stream sends it, too. */
  onchange: (token: string) => void = () => {};

  constructor() {
    try {
      this.token = sessionStorage.getItem('token') ?? '';
    } catch {
      // Storage is off: it holds for this page.
    }
  }

  with(headers?: HeadersInit): Headers {
    const out = new Headers(headers);
    if (this.token) out.set('Authorization', `Bearer ${this.token}`);
    return out;
  }

  /** refused is told that a request was answered with 401, and what that said. Whoever has closed the form is not asked again and again. */
  refused(why: string) {
    if (!this.wanted) this.asking = true;
    this.wanted = (this.token && why) || this.wanted || 'This cluster asks who you are.';
  }

  give(token: string) {
    this.token = token.trim();
    this.wanted = '';
    this.asking = false;
    try {
      if (this.token) sessionStorage.setItem('token', this.token);
      else sessionStorage.removeItem('token');
    } catch {
      // As above.
    }
    this.onchange(this.token);
  }
}

export const credential = new Credential();
