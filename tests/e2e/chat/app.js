const post = async (path, body) => {
  const headers = { 'Content-Type': 'application/json' }
  const response = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) })
  const item = document.createElement('li')
  item.textContent = await response.text()
  document.querySelector('ul').append(item)
}

document.querySelector('form').addEventListener('submit', (event) => {
  event.preventDefault()
  const field = event.target.elements.prompt
  post('/chat', { text: field.value })
  field.value = ''
})
document.querySelector('#login').addEventListener('click', async (event) => {
  const { user } = event.target.dataset
  await post('/login', { user })
  window.posthog?.identify(user)
})
document.querySelector('#logout').addEventListener('click', async () => {
  await post('/logout', {})
  window.posthog?.reset()
})
