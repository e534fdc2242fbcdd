"""A sound when an alert fires. It is off by default; the browser of each viewer remembers the choice.

The server only sends the number of the newest event. The page synthesizes the sound, so nothing is
downloaded; browsers allow sound after the first click on the page.
"""

from __future__ import annotations

import streamlit as st

from app.dashboard.streamlit_private import ComponentRenderer

_CHIME = """
const KEY = 'coinwatch.alerts.sound';
const isOn = () => { try { return localStorage.getItem(KEY) === 'on'; } catch { return false; } };
const remember = on => { try { localStorage.setItem(KEY, on ? 'on' : 'off'); } catch {} };
const memory = window.coinwatchAlerts ??= {seen: null, audio: null};
function chime() {
  const audio = memory.audio ??= new AudioContext();
  audio.resume().then(() => {
    for (const [at, pitch] of [[0, 880], [0.14, 1174.7]]) {
      const tone = audio.createOscillator(), volume = audio.createGain(), start = audio.currentTime + at;
      tone.frequency.value = pitch;
      volume.gain.setValueAtTime(0.0001, start);
      volume.gain.exponentialRampToValueAtTime(0.18, start + 0.02);
      volume.gain.exponentialRampToValueAtTime(0.0001, start + 0.5);
      tone.connect(volume).connect(audio.destination);
      tone.start(start);
      tone.stop(start + 0.55);
    }
  }, () => {});
}
"""

_LISTENER = (
    _CHIME
    + """
// Streamlit's toasts have the role of a dialog, but no name.
memory.naming ??= new MutationObserver(() => {
  document.querySelectorAll('[data-testid="stToast"]:not([aria-label])')
    .forEach(toast => toast.setAttribute('aria-label', 'Message'));
});
memory.naming.observe(document.body, {childList: true, subtree: true});
export default function ({data}) {
  if (memory.seen !== null && data.newest > memory.seen && isOn()) chime();
  memory.seen = Math.max(memory.seen ?? 0, data.newest);
}
"""
)

_SWITCH = (
    _CHIME
    + """
export default function ({parentElement}) {
  const box = parentElement.querySelector('input');
  box.checked = isOn();
  box.onchange = () => { remember(box.checked); if (box.checked) chime(); };
}
"""
)

_SWITCH_HTML = '<label><input type="checkbox"> Sound when an alert fires</label>'
_SWITCH_CSS = """
label { display: inline-flex; align-items: center; gap: .5rem; font: inherit; font-size: .9rem;
  color: var(--st-text-color); cursor: pointer; }
input { width: 1.05rem; height: 1.05rem; margin: 0; accent-color: var(--st-primary-color); }
"""


@st.cache_resource(show_spinner=False)
def _components() -> tuple[ComponentRenderer, ComponentRenderer]:
    return (
        st.components.v2.component("coinwatch_alert_chime", js=_LISTENER),
        st.components.v2.component("coinwatch_alert_sound", html=_SWITCH_HTML, css=_SWITCH_CSS, js=_SWITCH),
    )


def listen(newest: int) -> None:
    """Play the sound when ``newest``, the number of the newest event, has grown since the page was opened."""
    listener, _ = _components()
    listener(key="alert_chime", data={"newest": newest}, height=1)


def switch() -> None:
    """Draw the checkbox that turns the sound on and off in this browser."""
    _, checkbox = _components()
    checkbox(key="alert_sound")
