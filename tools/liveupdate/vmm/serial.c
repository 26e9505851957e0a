// SPDX-License-Identifier: GPL-2.0
#include "vmm.h"

#define LCR_DLAB	0x80
#define LSR_EMPTY	0x60	/* transmitter and holding register */

enum serial_register {
	SERIAL_DATA,
	SERIAL_IER,
	SERIAL_IIR,
	SERIAL_LCR,
	SERIAL_MCR,
	SERIAL_LSR,
	SERIAL_MSR,
	SERIAL_SCRATCH,
};

/* A line that is longer than the buffer loses its tail. */
static bool serial_put(struct serial_state *serial, char c)
{
	if (c != '\n') {
		if (serial->line_length < SERIAL_LINE_MAX - 1)
			serial->line[serial->line_length++] = c;
		return false;
	}
	serial->line[serial->line_length] = '\0';
	serial->line_length = 0;
	return true;
}

bool serial_write(struct serial_state *serial, uint16_t offset, uint8_t value)
{
	bool latch = serial->lcr & LCR_DLAB;

	switch (offset) {
	case SERIAL_DATA:
		if (!latch)
			return serial_put(serial, value);
		serial->divisor[0] = value;
		break;
	case SERIAL_IER:
		if (latch)
			serial->divisor[1] = value;
		else
			serial->ier = value & 0x0f;
		break;
	case SERIAL_LCR:
		serial->lcr = value;
		break;
	case SERIAL_MCR:
		serial->mcr = value & 0x1f;
		break;
	case SERIAL_SCRATCH:
		serial->scratch = value;
		break;
	}
	return false;
}

uint8_t serial_read(struct serial_state *serial, uint16_t offset)
{
	bool latch = serial->lcr & LCR_DLAB;

	switch (offset) {
	case SERIAL_DATA:
		return latch ? serial->divisor[0] : 0;
	case SERIAL_IER:
		return latch ? serial->divisor[1] : serial->ier;
	case SERIAL_IIR:
		return 0x01;
	case SERIAL_LCR:
		return serial->lcr;
	case SERIAL_MCR:
		return serial->mcr;
	case SERIAL_LSR:
		return LSR_EMPTY;
	case SERIAL_SCRATCH:
		return serial->scratch;
	}
	return 0;
}
