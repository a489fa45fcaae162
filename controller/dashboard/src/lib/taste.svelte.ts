// What the person likes, kept in the browser.
class Taste {
  theme = $state<'system' | 'light' | 'dark'>('system');
  utc = $state(false);
  now = $state(Date.now());

  constructor() {
    try {
      this.theme = (localStorage.getItem('theme') as 'light' | 'dark' | null) ?? 'system';
      this.utc = localStorage.getItem('utc') === 'yes';
    } catch {
      // Storage is off.
    }
    this.apply();
    setInterval(() => (this.now = Date.now()), 1000);
  }

  private apply() {
    if (this.theme === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = this.theme;
  }

  private keep(name: string, value: string) {
    try {
      localStorage.setItem(name, value);
    } catch {
      // It holds for this page then.
    }
  }

  get dark(): boolean {
    return this.theme === 'dark' || (this.theme === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
  }

  toggleTheme() {
    this.theme = this.dark ? 'light' : 'dark';
    this.apply();
    this.keep('theme', this.theme);
  }

  toggleUTC() {
    this.utc = !this.utc;
    this.keep('utc', this.utc ? 'yes' : 'no');
  }
}

export const taste = new Taste();
