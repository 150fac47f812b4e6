"""What is known of the elements, and which of them a campaign may use.

elements.py    tabulated data of the elements, as arrays and singly; distance of two on the chemical scale
balance.py     compositions as arrays, and whether oxidation states can balance them
policy.py      which compositions may be proposed: elements, systems, sizes, contacts
volumes.py     volume and contacts of a crystal whose elements have been replaced
"""
