"""The operations that plain values and numpy arrays in pickles need: operation code -> action of the interpreter.

Source: Lib/pickletools.py describes each.
"""

from avalib.utils.pickle_interpreter import PickleInterpreter

_ACTIONS = {
    # values
    b"N": lambda vm: vm.stack.append(None),
    b"\x88": lambda vm: vm.stack.append(True),
    b"\x89": lambda vm: vm.stack.append(False),
    b"K": lambda vm: vm.stack.append(vm.take_count(1)),
    b"M": lambda vm: vm.push_integer(2, signed=False),
    b"J": lambda vm: vm.push_integer(4),
    b"\x8a": lambda vm: vm.push_long(vm.take_count(1)),
    b"\x8b": lambda vm: vm.push_long(vm.take_count(4)),
    b"I": PickleInterpreter.push_decimal,
    b"L": PickleInterpreter.push_decimal,
    b"F": lambda vm: vm.stack.append(float(vm.take_digits())),
    b"G": PickleInterpreter.push_float,
    b"\x8c": PickleInterpreter.push_short_text,
    b"X": lambda vm: vm.push_text(vm.take(vm.take_count(4))),
    b"\x8d": lambda vm: vm.push_text(vm.take(vm.take_count(8))),
    b"V": lambda vm: vm.push_text(vm.take_line(), "raw-unicode-escape"),
    b"S": PickleInterpreter.push_quoted,
    b"U": lambda vm: vm.push_text(vm.take(vm.take_count(1)), "latin1"),
    b"T": lambda vm: vm.push_text(vm.take(vm.take_count(4)), "latin1"),
    b"C": lambda vm: vm.push_bytes(vm.take_count(1)),
    b"B": lambda vm: vm.push_bytes(vm.take_count(4)),
    b"\x8e": lambda vm: vm.push_bytes(vm.take_count(8)),
    b"\x96": lambda vm: vm.push_bytes(vm.take_count(8)),
    # containers
    b"]": lambda vm: vm.push_container([]),
    b")": lambda vm: vm.stack.append(()),
    b"}": lambda vm: vm.push_container({}),
    b"(": lambda vm: vm.marks.append(len(vm.stack)),
    b"l": lambda vm: vm.push_container(vm.pop_above_mark()),
    b"t": lambda vm: vm.push_container(tuple(vm.pop_above_mark())),
    b"\x85": lambda vm: vm.push_container(tuple(vm.pop_many(1))),
    b"\x86": lambda vm: vm.push_container(tuple(vm.pop_many(2))),
    b"\x87": lambda vm: vm.push_container(tuple(vm.pop_many(3))),
    b"d": PickleInterpreter.push_dict,
    b"a": lambda vm: vm.append([vm.stack.pop()]),
    b"e": lambda vm: vm.append(vm.pop_above_mark()),
    b"s": PickleInterpreter.set_item,
    b"u": lambda vm: vm.set_items(vm.pop_above_mark()),
    # the stack and the memo
    b"0": lambda vm: vm.stack.pop(),
    b"1": PickleInterpreter.pop_above_mark,
    b"2": lambda vm: vm.stack.append(vm.stack[-1]),
    b"p": lambda vm: vm.put(int(vm.take_digits())),
    b"q": lambda vm: vm.put(vm.take_count(1)),
    b"r": lambda vm: vm.put(vm.take_count(4)),
    b"\x94": lambda vm: vm.memo.append(vm.stack[-1]),
    b"g": lambda vm: vm.get(int(vm.take_digits())),
    b"h": lambda vm: vm.get(vm.take_count(1)),
    b"j": lambda vm: vm.get(vm.take_count(4)),
    # names, calls and states
    b"c": lambda vm: vm.push_class(vm.take_line().decode(), vm.take_line().decode()),
    b"\x93": lambda vm: vm.push_class(*vm.pop_many(2)),
    b"R": PickleInterpreter.reduce,
    b"\x81": PickleInterpreter.reduce,
    b"b": PickleInterpreter.build,
    b"Q": PickleInterpreter.push_persistent,
    # the protocol's number and the length of a frame; nothing here depends on them
    b"\x80": PickleInterpreter.check_protocol,
    b"\x95": lambda vm: vm.take_count(8),
}
# by the number of the byte, as indexing bytes gives it
OPERATIONS = [PickleInterpreter.refuse_unknown] * 256
for _code, _action in _ACTIONS.items():
    OPERATIONS[_code[0]] = _action
