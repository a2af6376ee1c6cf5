// Tells when somebody begins to type into a chat, sends, or gives up. What is typed never leaves the page.
//   <script src="/lumina/chat-input.js" data-input="#prompt" data-form="form" defer></script>
{
  const { src, dataset } = document.currentScript
  const fields = dataset.input ?? 'textarea, [contenteditable]:not([contenteditable=false])'
  // By field.
  const drafts = new Map()

  const textOf = (field) => field.value ?? field.innerText
  const now = () => performance.now()

  const report = (kind, facts) => {
    const { posthog } = window
    const window_id = posthog?.sessionManager?.checkAndGetSessionAndWindowId?.(true)?.windowId
    const ids = { session: dataset.session, replay_id: posthog?.get_session_id?.(), window_id }
    const body = JSON.stringify({ kind, ...facts, ...ids })
    navigator.sendBeacon(new URL('chat-input', src), new Blob([body], { type: 'application/json' }))
  }

  // Kept up to date while somebody types: a page that is being closed waits for nothing.
  const digest = async (draft, text) => {
    const bytes = await crypto.subtle?.digest('SHA-256', new TextEncoder().encode(text))
    if (bytes && draft.text === text) {
      draft.digest = Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, '0')).join('')
    }
  }

  const typed = (field) => {
    const text = textOf(field)
    let draft = drafts.get(field)
    if (!draft || draft.left) {
      if (!text.trim()) return drafts.delete(field)
      drafts.set(field, (draft = { began: now() }))
      report('started')
    }
    Object.assign(draft, { text, last: now(), tried: undefined, digest: undefined })
    digest(draft, text)
  }

  const tell = (kind, draft, end, more) => {
    const duration_ms = draft.left ? undefined : Math.round(end - draft.began)
    if (draft.text.trim()) report(kind, { duration_ms, characters: [...draft.text].length, ...more })
  }

  const sent = (field, draft, end) => {
    drafts.delete(field)
    tell('submitted', draft, end)
  }

  // A text that is gone though nobody deleted it was sent, and so was that of a field which is gone after Enter or a click.
  const look = (field, draft) => {
    const taken = field.isConnected ? !textOf(field).trim() : now() - draft.tried < 2_000
    if (taken && draft.text.trim()) sent(field, draft, draft.tried ?? now())
  }

  const leave = (field, draft) => {
    look(field, draft)
    if (!drafts.has(field) || draft.left) return
    tell('abandoned', draft, draft.last, { digest: draft.digest })
    draft.left = true
    if (!field.isConnected) drafts.delete(field)
  }

  const all = (act) => drafts.forEach((draft, field) => act(field, draft))
  const attempt = () => {
    all((_, draft) => (draft.tried = now()))
    setTimeout(all, 500, look)
  }

  const on = (name, act) => addEventListener(name, act, true)
  on('beforeinput', () => all(look))
  on('input', ({ target }) => target.matches?.(fields) && typed(target))
  on('keydown', (event) => event.key === 'Enter' && !event.shiftKey && !event.isComposing && attempt())
  on('click', attempt)
  on('submit', ({ target: form }) => {
    for (const field of document.querySelectorAll(fields)) {
      if (dataset.form ? !form.matches(dataset.form) : form !== (field.form ?? field.closest('form'))) continue
      sent(field, drafts.get(field) ?? { text: textOf(field), left: true }, now())
    }
  })
  on('focusin', ({ target }) => clearTimeout(drafts.get(target)?.timer))
  on('focusout', ({ target }) => {
    const draft = drafts.get(target)
    if (draft) draft.timer = setTimeout(() => drafts.get(target) === draft && leave(target, draft), 30_000)
  })
  on('visibilitychange', () => document.hidden && all(leave))
  on('pagehide', () => all(leave))
}
