"""What is known of the elements, and which of them a campaign may use.

elements.py    tabulated data of the elements as arrays; sets of elements as tables
policy.py      which compositions may be proposed: elements, systems, sizes, contacts
radii.py       anion formers, charge balance, chemical distance, volume of an element
volumes.py     volume and contacts of a crystal whose elements have been replaced
"""
