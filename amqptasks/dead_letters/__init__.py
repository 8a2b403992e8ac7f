"""Dead letters for programs: `letters`, `count`, `replay` and `purge` in `dead_letters/queue.py`, over a `Session`.

with app.session() as session:
    for letter in queue.letters(session, "emails.dead"):
        print(letter.id, letter.task, letter.reason)
"""
