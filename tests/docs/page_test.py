# SPDX-License-Identifier: MIT OR Apache-2.0
"""page.py leaves no command out: it refuses what it can't run, and names the place."""

import os
import tempfile
import unittest

import page


def read(text):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "page.md")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return page.Page.read(path)


class Pages(unittest.TestCase):
    def test_commands_and_set_up_are_run_in_the_order_of_the_page(self):
        text = "<!-- test-setup\none\n-->\n```sh\ntwo \\\n    more\n```\n```text\noutput\n```\n- item\n  ```sh\n  three\n  ```\n"
        self.assertEqual([block.text for block in read(text).run()], ["one", "two \\\n    more", "three"])

    def test_a_block_that_is_not_run_has_a_reason(self):
        blocks = read('```sh not-run="needs a Raspberry Pi"\nreboot\n```\n').blocks
        self.assertEqual([block.reason for block in blocks], ["needs a Raspberry Pi"])
        for info in ("sh not-run", 'sh not-run=""', "sh no-run=\"x\"", "sh  norun"):
            with self.assertRaises(page.Wrong, msg=info):
                read(f"```{info}\nreboot\n```\n")

    def test_whatever_else_may_be_a_command_is_refused(self):
        for text in ("```\nls\n```\n", "```bash\nls\n```\n", "```console\n$ ls\n```\n", "text\n\n    ls\n", "```sh\nls\n"):
            with self.assertRaises(page.Wrong, msg=text):
                read(text)

    def test_a_comment_that_is_misspelt_is_refused(self):
        for text in ("<!-- test-setup: ls -->\n", "<!-- test-set-up\nls\n-->\n", "<!-- test-setup\nls\n", "<!-- test-chip -->\n"):
            with self.assertRaises(page.Wrong, msg=text):
                read(text)

    def test_the_chip_and_the_packages_are_found(self):
        text = "<!-- test-chip tngtls -->\n```sh\nsudo apt install -y curl \\\n    nginx-light\nsudo apt install ./x.deb\n```\n"
        self.assertEqual(read(text).chip, "tngtls")
        self.assertEqual(page.packages(read(text)), {"curl", "nginx-light"})
        not_run = '```sh not-run="x"\nsudo apt install curl\n```\n'
        self.assertEqual(page.packages(read(not_run)), set())


if __name__ == "__main__":
    unittest.main()
