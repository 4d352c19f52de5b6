"""What `python -m pytest exercises` prints at its end: how far you are."""
collect_ignore_glob = ["conftest.py", "ex*.py", "watch_gans.py", "checkers", "solutions", "mistakes"]


def pytest_terminal_summary(terminalreporter):
    solved = {dict(report.user_properties)["exercise"]: report.passed
              for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, ())
              if report.when == "call" and "exercise" in dict(report.user_properties)}
    if not solved:
        return
    from exercises.checkers import EXERCISES

    files = {}  # each with one True or False for each of its parts
    for number, right in sorted(solved.items()):
        files.setdefault(EXERCISES[number].name, []).append(right)
    info = {exercise.name: exercise for exercise in EXERCISES}
    terminalreporter.section("how far you are")
    if len(solved) == sum(len(terminalreporter.stats.get(outcome, ())) for outcome in ("passed", "failed")):
        terminalreporter.reportchars = ""  # nothing but exercises: do not say it all once more
    for name, parts in files.items():
        state = "solved" if all(parts) else f"{sum(parts)} of {len(parts)} mended" if len(parts) > 1 else "not yet"
        terminalreporter.line(f"{name[2]}  {info[name].title:24} {state}", green=all(parts))
    left = [name for name, parts in files.items() if not all(parts)]
    terminalreporter.line(f"{len(files) - len(left)} of {len(files)} solved." + (
        f" Next: exercises/{left[0]}.py, some {info[left[0]].minutes} minutes." if left else " Well done!"))
