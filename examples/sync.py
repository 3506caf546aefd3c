"""
Without async: the same session, one call after the other and from several threads.

    python examples/sync.py [--loop trio] [--base-url http://127.0.0.1:11434]

Here ``--loop`` chooses the event loop of the simulated server; a program that only uses
the sync methods does not see motet's own.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor

import motet
from motet.testing import serve_in_thread

QUESTIONS = ["What is a motet?", "Who wrote the first one?", "How many voices has it?"]


def main(url: str) -> None:
    with motet.start_session(base_url=url) as m:
        print(m.instruct("Say hello."))

        # A session may be used from many threads; each call blocks only its own.
        with ThreadPoolExecutor() as threads:
            for question, answer in zip(QUESTIONS, threads.map(m.instruct, QUESTIONS), strict=True):
                print(f"{question} {answer}")

        try:
            print(m.instruct("Say hello.", model_options={motet.ModelOption.TEMPERATURE: "warm"}))
        except TypeError as error:
            print(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--loop", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--base-url", help="an Ollama server instead of the simulated one")
    options = parser.parse_args()
    if options.base_url:
        main(options.base_url)
    else:
        with serve_in_thread(loop=options.loop, time_to_first_token=0.05) as server:
            main(server.url)
