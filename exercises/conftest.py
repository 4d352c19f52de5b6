"""The summary that `python -m pytest exercises` prints at the end: which exercises are solved."""

collect_ignore_glob = [
    "conftest.py",
    "ex*.py",
    "watch_gans.py",
    "train_digits.py",
    "make_handout.py",
    "checkers",
    "solutions",
    "mistakes",
]


def pytest_addoption(parser):
    parser.addoption(
        "--hint",
        type=int,
        choices=[0, 1, 2],
        default=0,
        help="1 names the step of the check that fails, 2 also says what is wrong there (default 0:"
        " only what is already right)",
    )


def picture_of_digits(solved: bool) -> str:
    """Where the checker of exercise 9 has written its picture; "" unless that is solved."""
    from exercises.checkers.digits import PICTURE

    return f"{PICTURE} shows digits of your GAN." if solved and PICTURE.is_file() else ""


def pytest_terminal_summary(terminalreporter):
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
    ]
    solved = {
        dict(report.user_properties)["exercise"]: report.passed
        for report in reports
        if report.when == "call" and "exercise" in dict(report.user_properties)
    }
    if not solved:
        return
    from exercises.checkers import EXERCISES

    files = {}  # each with one True or False for each of its parts
    for number, right in sorted(solved.items()):
        files.setdefault(EXERCISES[number].name, []).append(right)
    exercises = {exercise.name: exercise for exercise in EXERCISES}
    terminalreporter.section("your progress")
    if len(solved) == len(reports):
        terminalreporter.reportchars = ""  # only exercises: pytest need not repeat the sentences
    for name, parts in files.items():
        complete = sum(exercise.name == name for exercise in EXERCISES)
        if all(parts) and len(parts) == complete:
            state = "solved"
        elif complete > 1:
            state = f"{sum(parts)} of {len(parts)} fixed"
        else:
            state = "not yet"
        terminalreporter.line(f"{name[2]}  {exercises[name].title:24} {state}", green=all(parts))
    left = [name for name, parts in files.items() if not all(parts)]
    following = (
        f" Next: exercises/{left[0]}.py, about {exercises[left[0]].minutes} minutes."
        if left
        else " Well done!"
    )
    terminalreporter.line(f"{len(files) - len(left)} of {len(files)} solved.{following}")
    if picture := picture_of_digits(all(files.get("ex9_digits", [False]))):
        terminalreporter.line(picture)
